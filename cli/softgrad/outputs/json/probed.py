"""The report of a probe as one line of JSON."""

from typing import Any

import numpy as np
import orjson

from softgrad.records.records import json_number
from softgrad_core.probing.events import Finding
from softgrad_core.probing.probe import Probe


def json_of(result: Probe) -> bytes:
    """Return the report of a probe as one line of JSON."""
    trials = [
        {
            "name": name,
            "inputs": count,
            "failed": result.failed[name],
            "found": result.found_by.get(name),
            "worst_ulp": result.worst_ulp[name],
        }
        for name, count in result.tried.items()
    ]
    report = {
        "function": result.name,
        "passed": result.passed,
        "inputs": result.tried.total(),
        "trials": trials,
        "findings": [_of_finding(finding) for finding in result.findings],
    }
    return orjson.dumps(plain(report)) + b"\n"


def _of_finding(finding: Finding) -> dict[str, Any]:
    return {
        "mistake": finding.name,
        "explanation": finding.explanation,
        "remedy": finding.remedy,
        "trial": finding.trial,
        "dtype": str(finding.dtype),
        "input": finding.given.as_dict(),
        "details": list(finding.details),
        "records": finding.records(),
    }


def plain(value: Any) -> Any:
    """Return a value of lists, mappings and numbers as JSON has it."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return "NaN" if np.isnan(value) else json_number(value)
    return str(value) if isinstance(value, str) else value
