/* Passes over claims, and the exact values beside them, for screening.py: each number is read once.

   The error of a number is relative to the power of two below its exact value: |exact - claim| times
   the inverse of that power, which is exact. Where the exact value is 0 or infinite, or a number is
   NaN, the error is large, or NaN. An error has no sign, so that errors are in the order of their
   bits, and NaN is above them all. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if !defined(__GNUC__) || !(defined(__x86_64__) || defined(__aarch64__))
#error "softgrad does without these passes where it does without the kernel of the loss"
#endif

#define INLINE static inline __attribute__((always_inline))

enum { PIECE = 1024 }; /* Numbers whose errors stay in the nearest cache. */

/* Arrays are where NumPy has them, which for mapped files may be anywhere. */
typedef double Double __attribute__((aligned(1)));
typedef float Float __attribute__((aligned(1)));

static const int64_t EXPONENT = INT64_C(0x7FF0) << 48, OF_INVERSE = INT64_C(0x7FE0) << 48;
static const int64_t LEAST_INVERSE = INT64_C(1) << 51; /* That of 2**1023. */
static const int64_t SIGN = INT64_MIN;

INLINE double get(const void *numbers, ptrdiff_t i, int is_float)
{
    return is_float ? (double)((const Float *)numbers)[i] : ((const Double *)numbers)[i];
}

INLINE int64_t bits_of(double x)
{
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

INLINE double of_bits(int64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Return bits that are in the order of numbers, with NaN at the ends. This is its own inverse. */
INLINE int64_t ordered(int64_t bits)
{
    return bits < 0 ? bits ^ ~SIGN : bits;
}

/* Logits (N, C), their copies as doubles, or NULL, and the largest and smallest of each row. */
typedef struct {
    const void *logits;
    ptrdiff_t rows, columns;
    double *copy, *top, *bottom;
} Logits;

INLINE void read_logits(const Logits *task, int is_float)
{
    const ptrdiff_t columns = task->columns;
    for (ptrdiff_t row = 0; row < task->rows; row++) {
        int64_t top = INT64_MIN, bottom = INT64_MAX;
        for (ptrdiff_t i = row * columns; i < (row + 1) * columns; i++) {
            const double a = get(task->logits, i, is_float);
            const int64_t order = ordered(bits_of(a));
            top = order > top ? order : top;
            bottom = order < bottom ? order : bottom;
        }
        if (task->copy)
            for (ptrdiff_t i = row * columns; i < (row + 1) * columns; i++)
                task->copy[i] = get(task->logits, i, is_float);
        task->top[row] = of_bits(ordered(top));
        task->bottom[row] = of_bits(ordered(bottom));
    }
}

/* Claims beside exact values, both (N, C). */
typedef struct {
    const double *exact;
    const void *claims;
    ptrdiff_t rows, columns;
} Values;

/* Compute the errors of `count` numbers from number `from` on, and return the least power of two. */
INLINE int64_t errors_of(const Values *values, ptrdiff_t from, ptrdiff_t count, double *errors,
                         int is_float)
{
    int64_t least = EXPONENT;
    for (ptrdiff_t i = 0; i < count; i++) {
        const double exact = values->exact[from + i];
        const int64_t power = bits_of(exact) & EXPONENT, inverse = OF_INVERSE - power;
        const double error = (exact - get(values->claims, from + i, is_float)) *
                             of_bits(inverse > LEAST_INVERSE ? inverse : LEAST_INVERSE);
        errors[i] = of_bits(bits_of(error) & ~SIGN);
        least = power < least ? power : least;
    }
    return least;
}

/* The errors of rows: of the number at the target, and the largest of the others. */
typedef struct {
    Values values;
    const int64_t *targets;         /* (N,) */
    double *least, *largest, *own;  /* (N,): the least power of two, and these errors. */
    int64_t *worst;                 /* (N,): where the largest error is. */
} Errors;

INLINE void measure(const Errors *task, int is_float)
{
    const ptrdiff_t columns = task->values.columns;
    double errors[PIECE];
    for (ptrdiff_t row = 0; row < task->values.rows; row++) {
        int64_t least = EXPONENT, largest = -1, worst = 0;
        for (ptrdiff_t start = 0; start < columns; start += PIECE) {
            const ptrdiff_t count = columns - start < PIECE ? columns - start : PIECE;
            const ptrdiff_t target = task->targets[row] - start;
            const int64_t power =
                errors_of(&task->values, row * columns + start, count, errors, is_float);
            least = power < least ? power : least;
            if (target >= 0 && target < count) {
                task->own[row] = errors[target];
                errors[target] = 0.0;
            }
            int64_t most = -1;
            for (ptrdiff_t i = 0; i < count; i++)
                most = bits_of(errors[i]) > most ? bits_of(errors[i]) : most;
            if (most <= largest)
                continue;
            largest = most;
            ptrdiff_t i = 0;
            while (bits_of(errors[i]) != most)
                i++;
            worst = start + i;
        }
        task->least[row] = of_bits(least);
        task->largest[row] = of_bits(largest);
        task->worst[row] = worst;
    }
}

/* Some rows, whose numbers are sorted by bounds of their errors: up to `lower` they are right, and
   above `upper` wrong. */
typedef struct {
    Values values;
    const int64_t *targets; /* (N,) */
    const int64_t *chosen;  /* (n,): which rows. */
    ptrdiff_t count;
    const double *lower, *upper, *lower_of_target, *upper_of_target; /* (n,) */
    double rtol, atol;      /* Those of assert_close. */
    int64_t *wrong, *worst; /* (n,): how many numbers are wrong, and the one with the largest error. */
    unsigned char *are_close; /* (n,): whether assert_close passes the row. */
    unsigned char *columns;   /* (n, C): whether a number is wrong; others are left. */
    int64_t *between;         /* The places of numbers that are neither right nor wrong. */
    ptrdiff_t room;           /* How many of these each row may have; there is a PIECE more. */
    int64_t *found;           /* (n,): how many of them a row has; -1 where these are too many. */
} Sorting;

INLINE void sort(const Sorting *task, int is_float)
{
    const ptrdiff_t columns = task->values.columns;
    double errors[PIECE];
    ptrdiff_t used = 0;
    for (ptrdiff_t k = 0; k < task->count; k++) {
        const ptrdiff_t row = task->chosen[k], target = task->targets[row];
        const double lower = task->lower[k], upper = task->upper[k];
        const ptrdiff_t before = used;
        unsigned char *wrong_columns = task->columns + k * columns;
        int64_t wrong = 0, far = 0, largest = -1;
        int has_room = 1;
        for (ptrdiff_t start = 0; start < columns; start += PIECE) {
            const ptrdiff_t count = columns - start < PIECE ? columns - start : PIECE;
            const ptrdiff_t from = row * columns + start;
            errors_of(&task->values, from, count, errors, is_float);
            for (ptrdiff_t i = 0; i < count; i++) {
                const double exact = task->values.exact[from + i];
                const double claim = get(task->values.claims, from + i, is_float);
                const double off = fabs(claim - exact);
                far += !(((off <= fabs(exact) * task->rtol + task->atol) & (off < INFINITY)) |
                         (claim == exact));
            }
            if (target >= start && target < start + count) {
                /* The target has bounds of its own. For those of the others it is right from here
                   on, or between them. */
                const double own = errors[target - start];
                const int is_wrong = own > task->upper_of_target[k];
                wrong += is_wrong;
                wrong_columns[target] = is_wrong;
                if (is_wrong && bits_of(own) > largest) {
                    largest = bits_of(own);
                    task->worst[k] = target;
                }
                errors[target - start] = is_wrong || own <= task->lower_of_target[k] ? -1.0 : NAN;
            }
            int64_t above = 0, below = 0, most = -1;
            for (ptrdiff_t i = 0; i < count; i++) {
                const int64_t is_wrong = errors[i] > upper;
                const int64_t bits = is_wrong ? bits_of(errors[i]) : -1;
                above += is_wrong;
                below += errors[i] <= lower;
                most = bits > most ? bits : most;
            }
            wrong += above;
            if (above)
                for (ptrdiff_t i = 0; i < count; i++)
                    wrong_columns[start + i] |= errors[i] > upper;
            if (most > largest) {
                ptrdiff_t i = 0;
                while (bits_of(errors[i]) != most)
                    i++;
                largest = most;
                task->worst[k] = start + i;
            }
            if (above + below == count)
                continue;
            for (ptrdiff_t i = 0; i < count && has_room; i++) {
                task->between[used] = from + i;
                used += !((errors[i] > upper) | (errors[i] <= lower));
            }
            has_room &= used - before <= task->room;
        }
        task->wrong[k] = wrong;
        task->are_close[k] = !far;
        task->found[k] = has_room ? used - before : -1;
        used = has_room ? used : before;
    }
}

/* A pass for claims, or logits, of each type, and all of them for a kind of processor. */
#define PASS(TARGET, NAME, WORK, TASK)           \
    TARGET void NAME##_double(const TASK *task)  \
    {                                            \
        WORK(task, 0);                           \
    }                                            \
    TARGET void NAME##_float(const TASK *task)   \
    {                                            \
        WORK(task, 1);                           \
    }
#define PASSES(PROCESSOR, TARGET)                                         \
    PASS(TARGET, softgrad_##PROCESSOR##_logits, read_logits, Logits)      \
    PASS(TARGET, softgrad_##PROCESSOR##_measure, measure, Errors)         \
    PASS(TARGET, softgrad_##PROCESSOR##_sort, sort, Sorting)

#ifdef __x86_64__
PASSES(avx512, __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"))))
PASSES(avx2, __attribute__((target("avx2,fma"))))
#else
PASSES(neon, )
#endif
