"""Pages in Markdown, LaTeX and HTML: their content, and that other programs can show them."""

import re
import shutil
import subprocess
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from support.command import lines_of, run
from support.documents import chromium, measured, needs_chromium, needs_latex, typeset
from support.sweeps import in_sweeps

LECTURE = ["2.0", "1.0", "0.1", "--target", "0"]
TEN = ["2", "1", "0.1", "-3", "4", "2.5", "1.5", "0", "-1", "2.2", "--target", "0"]
CONFIDENT = ["40", "0", "-inf", "--target", "0"]
OVERFLOWING = ["1000", "0", "2", "--target", "1"]
OF_OPTIONS = [
    *["2", "1", "0.1", "--target", "0.1,0.7,0.2", "--label-smoothing", "0.1"],
    *["--class-weights", "0.3,0.2,0.5", "--temperature", "2"],
]
SETS = [LECTURE, TEN, CONFIDENT, OVERFLOWING]

ODD_NAMES = [
    "a|b`c*",
    "<script>alert(1)</script>",
    r"50% $x_1 & {\tau} #~^\n",
    "日本é",
    '"q" -- \N{REPLACEMENT CHARACTER}',
    "ß👩",
]
ODD = {"logits": [1, 2, 3, 4, 5, 6], "target": 1, "classes": ODD_NAMES}

MINIMAL = r"""\documentclass{article}
\usepackage{amsmath}
\begin{document}
\input{fragment}
\end{document}
"""


class Reader(HTMLParser):
    """Reads a page as a browser does, and fails at a tag that is not closed in its place."""

    VOID = frozenset({"meta", "rect", "line", "path", "circle"})

    def __init__(self, page):
        super().__init__()
        self.open, self.seen, self.text = [], [], ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):  # noqa: ARG002
        self.seen.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & {*self.open}:
            self.text += data


@cache
def page_of(*arguments, stdin=""):
    ended = run(*arguments, stdin=stdin)
    assert ended.status == 0
    return ended.text


def test_without_explain_a_page_has_its_tables_only():
    assert page_of(*LECTURE, "-f", "markdown") == (
        "## 3 classes, target 0\n"
        "\n"
        "| class | logit $`a`$ | $`f(x)`$ | $`\\mathrm{d}L/\\mathrm{d}f(x)`$ "
        "| $`\\mathrm{d}L/\\mathrm{d}a`$ |\n"
        "| :--- | ---: | ---: | ---: | ---: |\n"
        "| **0** | **2** | **0.659001** | **-1.51745** | **-0.340999** |\n"
        "| 1 | 1 | 0.242433 | 0 | 0.242433 |\n"
        "| 2 | 0.1 | 0.0985659 | 0 | 0.0985659 |\n"
        "| sum |  | 1 |  | 0 |\n"
        "\n"
        "loss $`-\\log f(x)_{y}`$ = **0.41703001627783354**\n"
        "\n"
    ).replace("0.41703001627783354", re.findall(r"0\.417\d+", page_of(*LECTURE))[0])
    for name in ("latex", "html"):
        text = page_of(*LECTURE, "-f", name)
        assert "0.659001" in text
        assert "derivation" not in text


@pytest.mark.parametrize("name", ["markdown", "latex", "html"])
def test_every_step_is_on_the_page(name):
    text = page_of("explain", *LECTURE, "-f", name)
    titles = [step["title"] for step in run("explain", *LECTURE, "--json").records[0]["explain"]]
    steps = text[text.index("The derivation") :]
    places = [steps.index(title) for title in titles]
    assert places == sorted(places)


@pytest.mark.parametrize("name", ["markdown", "latex", "html"])
def test_rejected_checked_and_verified_records_are_shown_in_order(name):
    rows = [{"logits": [1, 2], "target": 0}, {"logits": [1]}, {"logits": [1, 2], "target": 1}]
    ended = run("-f", name, "--check", stdin=lines_of(*rows))
    assert ended.status == 3
    text = re.sub(r"\\(?=\W)", "", ended.text)
    marks = ["stdin", "numerical check", "rejected: expected at least 2 logits, got 1", "target 1"]
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places)
    claims = {"logits": [1, 2], "target": 0, "grad_logits": [0.3000001, 0.7]}
    verified = run("verify", "-f", name, stdin=lines_of(claims))
    assert verified.status == 1
    assert re.search(r"grad.{0,3}_logits", verified.text)
    assert re.search(r"fail(?!ed)[^;{]*worst", verified.text)


def test_markdown_escapes_class_names():
    text = page_of("explain", "-f", "markdown", stdin=lines_of(ODD))
    # Lines with four blanks before them are shown as they are.
    text = re.sub(r"^    .*\n", "", text, flags=re.MULTILINE)
    assert r"0 a\|b\`c\*" in text
    assert "<script>" not in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}


def test_markdown_puts_equations_in_math_blocks():
    text = page_of("explain", *LECTURE, "-f", "markdown")
    blocks = re.findall(r"^```math\n(.*?)\n```$", text, re.MULTILINE | re.DOTALL)
    assert r"L = -\log f(x)_{y}" in blocks
    assert len(blocks) > 40
    assert text.count("```") == 2 * len(blocks)


def test_markdown_in_a_file_links_to_pictures_beside_it(tmp_path):
    rows = [{"logits": [1, 2, n], "target": 0} for n in range(2)]
    ended = run("explain", "-f", "markdown", "-o", "a b.md", stdin=lines_of(*rows), cwd=tmp_path)
    assert (ended.status, ended.out) == (0, b"")
    text = (tmp_path / "a b.md").read_text()
    assert re.findall(r"!\[loss by a\\_0: slope .*\]\(<(.*)>\)", text) == ["a b-1.svg", "a b-2.svg"]
    assert "L by a_0" not in text
    for name in ("a b-1.svg", "a b-2.svg"):
        picture = ElementTree.parse(tmp_path / name).getroot()  # noqa: S314 - it is our own
        assert picture.tag == "{http://www.w3.org/2000/svg}svg"
        assert sum("curve" in path.get("class") for path in picture.findall(".//{*}path")) == 4


def test_a_page_that_is_not_written_leaves_no_pictures(tmp_path):
    words = ["explain", "-", "missing.jsonl", "-f", "markdown", "-o", "page.md"]
    ended = run(*words, stdin=lines_of({"logits": [1, 2], "target": 0}), cwd=tmp_path)
    assert ended.status == 74
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", SETS, ids=" ".join)
def test_html_is_one_file_that_fetches_nothing(arguments):
    page = page_of("explain", *arguments, "-f", "html")
    reader = Reader(page)
    assert reader.open == []
    assert {"math", "mfrac", "svg", "table", "main"} <= {*reader.seen}
    assert not {"link", "img", "iframe"} & {*reader.seen}
    assert not re.search(r"https?:|@import|url\(|src=", page)
    assert reader.seen.count("title") == reader.seen.count("body") == 1


def test_html_escapes_class_names():
    reader = Reader(page_of("explain", "-f", "html", stdin=lines_of(ODD)))
    assert all(name in reader.text for name in ODD_NAMES)
    # The numbers of the row, and the script that moves them.
    assert reader.seen.count("script") == 2


def test_all_records_of_a_run_are_one_document():
    rows = [{"logits": [1, 2, n], "target": 0} for n in range(5)]
    page = page_of("-f", "html", stdin=lines_of(*rows))
    assert page.count("<!DOCTYPE html>") == page.count("</html>") == 1
    assert page.count("<table>") == 5
    document = page_of("-f", "latex", "--standalone", stdin=lines_of(*rows))
    assert document.count(r"\begin{document}") == document.count(r"\end{document}") == 1
    assert "documentclass" not in page_of("-f", "latex", stdin=lines_of(*rows))


def test_html_works_with_a_screen_reader():
    page = page_of("explain", *LECTURE, "-f", "html")
    assert '<html lang="en">' in page
    assert '<th scope="col"' in page
    assert '<th scope="row"' in page
    assert "(target)" in page
    for svg in re.findall(r"<svg[^>]*>", page):
        assert re.search('aria-hidden="true"|role="img" aria-label="The loss.*slope', svg)
    levels = [int(level) for level in re.findall(r"<h(\d)>", page)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


@needs_chromium
def test_a_browser_shows_the_page_and_cuts_nothing_off(tmp_path):
    pages = [page_of("explain", *arguments, "-f", "html") for arguments in SETS]
    frames = [(page, width) for width in (900, 360) for page in pages]
    measures = measured(frames, tmp_path)
    desks, phones = measures[: len(SETS)], measures[len(SETS) :]
    for arguments, desk, phone in zip(SETS, desks, phones, strict=True):
        assert desk["width"] <= 900, arguments
        assert desk["overflowing"] == [], arguments
        assert max(desk["tables"]) == 0, arguments
        assert min(desk["fractions"]) > 15, arguments
        assert max(desk["bars"]) > 30, arguments
        assert "The chain rule" in desk["headings"], arguments
        assert phone["width"] <= 360, arguments
    # Both gradients of the lecture are seen on a phone, beside the logits that move them.
    assert phones[0]["tables"] == [0]


@needs_chromium
def test_a_browser_shows_the_page_in_light_and_dark_and_prints_it(tmp_path):
    page = page_of("explain", *LECTURE, "-f", "html")
    [light] = measured([(page, 900)], tmp_path, "--blink-settings=preferredColorScheme=1")
    [dark] = measured([(page, 900)], tmp_path, "--blink-settings=preferredColorScheme=0")
    assert light["background"] != dark["background"]
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    pdf = tmp_path / "page.pdf"
    chromium(f"--print-to-pdf={pdf}", (tmp_path / "page.html").as_uri(), folder=tmp_path)
    assert pdf.read_bytes().startswith(b"%PDF")


@needs_latex
@pytest.mark.parametrize("arguments", [SETS[1], *in_sweeps([SETS[0], *SETS[2:]])], ids=" ".join)
def test_tex_typesets_the_document_within_its_margins(arguments, tmp_path):
    source = page_of("explain", *arguments, "-f", "latex", "--standalone")
    log = typeset(source, tmp_path)
    assert "Overfull" not in log
    assert "Missing character" not in log
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


@needs_latex
def test_tex_draws_the_curves_where_tikz_is_installed(tmp_path):
    has_tikz = subprocess.run(["kpsewhich", "tikz.sty"], capture_output=True).returncode == 0  # noqa: PLW1510
    if not has_tikz:
        pytest.skip("TikZ is not installed")
    source = page_of("explain", *OF_OPTIONS, "--softcap", "3", "-f", "latex", "--standalone")
    log = typeset(source, tmp_path)
    assert source.count(r"\begin{tikzpicture}") == 4
    assert "tikz.sty" in log
    assert "Overfull" not in log


@needs_latex
def test_tex_has_all_letters_in_the_formulas_of_loss_options(tmp_path):
    source = page_of("explain", *OF_OPTIONS, "-f", "latex", "--standalone")
    assert "Missing character" not in typeset(source, tmp_path)


@pytest.mark.parametrize("engine", ["pdflatex", "lualatex"])
def test_tex_typesets_the_fragment_with_amsmath_alone_and_any_class_names(engine, tmp_path):
    if shutil.which(engine) is None:
        pytest.skip(f"{engine} is not installed")
    fragment = page_of("explain", "-f", "latex", stdin=lines_of(ODD))
    (tmp_path / "fragment.tex").write_text(fragment, encoding="utf-8")
    typeset(MINIMAL, tmp_path, engine)


@needs_latex
@pytest.mark.parametrize(
    "words",
    [
        ["2", "1", "0.1", "-t", "0.2,0.3,0.5", "--label-smoothing", "0.1", "--temperature", "1.7"],
        [*TEN, "--label-smoothing", "0.12345", "--temperature", "1.7123"],
    ],
)
def test_no_equation_runs_into_the_margin(tmp_path, words):
    text = run("explain", *words, "-f", "latex", "--standalone").text
    wide = re.findall(r"Overfull .hbox \(([\d.]+)pt too wide", typeset(text, tmp_path))
    assert all(float(points) < 10 for points in wide), wide


@needs_chromium
def test_the_lecture_is_printed_on_seven_pages(tmp_path):
    (tmp_path / "page.html").write_text(run("explain", *LECTURE, "-f", "html").text)
    pdf = tmp_path / "page.pdf"
    source = (tmp_path / "page.html").as_uri()
    chromium("--no-pdf-header-footer", f"--print-to-pdf={pdf}", source, folder=tmp_path)
    assert len(re.findall(rb"/Type /Page\b", pdf.read_bytes())) <= 7


@needs_latex
@pytest.mark.parametrize("engine", ["pdflatex", *in_sweeps(["lualatex"])])
def test_greek_names_are_typeset_by_every_engine(tmp_path, engine):
    words = ["2", "1", "0.1", "-t", "0", "--classes", "λ,Ω,bird", "-f", "latex", "--standalone"]
    ended = run("explain", *words)
    assert (ended.status, ended.err) == (0, "")
    log = typeset(ended.text, tmp_path, engine)
    assert "Missing character" not in log
    assert "U+" not in ended.text


def test_letters_that_pdflatex_lacks_are_told_of_once():
    words = ["2", "1", "0.1", "-t", "0", "--classes", "犬,猫,鳥", "-f", "latex"]
    assert run("explain", *words).err == (
        "softgrad: pdflatex lacks some letters of these names; use lualatex, and a font with them\n"
    )


def test_markdown_for_notebooks_and_pandoc_has_mathematics_between_dollars():
    words = ["explain", "2", "1", "0.1", "-t", "0", "-f"]
    github, pandoc = (run(*words, flavour).text for flavour in ("markdown", "pandoc"))
    assert "```math" in github
    assert "`" not in pandoc
    assert pandoc.count("\n$$\n") == 2 * github.count("```math")
    for line in pandoc.replace("$$", "").splitlines():
        # With blanks inside, dollars are no marks of mathematics for Pandoc.
        assert all(part and part == part.strip() for part in line.split("$")[1::2]), line
