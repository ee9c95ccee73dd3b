/* The kernel for logits of usual size: exp(a) itself, from which nothing is subtracted.

   Notation: a are the logits, y is the true class, e = exp(a), rest is the sum of e without e_y,
   and S = rest + e_y. Then f(x) = e / S, 1 - f(x)_y = rest / S, -log f(x)_y = log1p(rest / e_y),
   and 1 / f(x)_y = S / e_y. Nothing cancels, and there is no a - max(a) that would be rounded.

   All e are computed times 2**GAIN, which cancels in every quotient, so that those that float64
   could not hold with all their digits are too small to count. Which rows are not of usual size
   shows in their sums; they are marked as left, for a kernel that can do them.

   How far a result is from the exact one: e is off by at most 1.1 * 2**-53 of itself, and so are
   the sums, which are kept in two parts and have all their digits, as 1 / S has. So a probability
   or a gradient is off by twice that and half a unit in the last place of its own, at most 2.7
   units where the last places are as unlucky as can be; a loss by one more, for its logarithm.
   Shares that are not a power of two add half a unit to losses and to dL/df(x). Where several
   classes have target weights, or with a temperature, a soft cap or a z-loss, all numbers are good
   to 8 units, those of dL/da in units of the largest of the terms that it is made of.

   A soft cap takes cap tanh(a / cap) for a, and a z-loss adds z (log S)**2 to the loss.

   Every operation is one that IEEE 754 defines, fma among them, in an order that depends on the
   number of classes alone: a row has the same bits alone, in any block, and on any processor.
   Rows of float are computed in double as all others are, and rounded once. It must be compiled
   without contraction of a * b + c, and without -ffast-math. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if !defined(__GNUC__) || !(defined(__x86_64__) || defined(__aarch64__))
#error "softgrad does without this kernel where a compiler has no vectors, or a processor no fma"
#endif

#define INLINE static inline __attribute__((always_inline))

enum {
    GAIN = 400,   /* The power of two that all e are multiplied by. */
    TILE = 2048,  /* Logits whose exponentials stay in the nearest cache. */
    ROWS = 256,   /* Rows that are computed together, at most. */
    NARROW = 64,  /* Up to so many classes sums are made of several rows at a time. */
    LANES = 4,    /* Numbers that are summed side by side. */
    PIECE = 64,   /* Logits between two looks ahead at what memory will be needed. */
    AHEAD = 1024, /* How many numbers ahead that is in a long row of results. */
    LINE = 64,    /* Bytes of memory that come together. */
};

typedef double Lanes __attribute__((vector_size(LANES * sizeof(double))));

/* Arrays are where NumPy has them, which for mapped files may be anywhere. */
typedef double Double __attribute__((aligned(1)));
typedef float Float __attribute__((aligned(1)));
typedef ptrdiff_t Index __attribute__((aligned(1)));

/* Rows of usual size, by their sums (times 2**GAIN), their shares or weights (times 2**600)
   and T: any two sums have a quotient, what is multiplied or divided by another has all its digits,
   and an e that is too small for float64 gives an f(x) that is 0 also when it is multiplied by a
   weight and divided by T. */
static const double SMALLEST_SUM = 0x1p256, LARGEST_SUM = 0x1p880;
static const double SMALLEST_E_Y = 0x1p-80, SMALLEST_REST = 0x1p-496, SMALLEST_RATIO = 0x1p-900;
static const double SMALLEST_WEIGHT = 0x1p500, LARGEST_WEIGHT = 0x1p700;
static const double SMALLEST_T = 0x1p-100, LARGEST_T = 0x1p100;

/* exp of all below is as good as 0 beside SMALLEST_SUM and SMALLEST_REST. */
static const double LOWEST = -985.0;

/* Beyond this |a| / cap the derivative of a cap may be too small for float64. */
static const double LARGEST_OF_CAP = 340.0;

static const double UNGAINED = 0x1p-600;
static const double LN2 = 0x1.62e42fefa3800p-1, LN2_TAIL = 0x1.ef35793c76730p-45;
static const double LOG2_E = 0x1.71547652b82fep0, SQRT_HALF = 0x1.6a09e667f3bcdp-1;

/* What is computed of a tile of rows. */
typedef struct {
    ptrdiff_t y[ROWS];
    double e_y[ROWS], rest[ROWS], rest_error[ROWS], total[ROWS], total_error[ROWS];
    double inverse[ROWS], inverse_error[ROWS]; /* 1 / S */
    double share[ROWS];                                           /* NaN for a row that is left. */
    double share_of_inverse[ROWS], share_of_inverse_error[ROWS]; /* (share + slope) / T / S */
    double z[ROWS], log_total[ROWS], slope[ROWS]; /* That of the z-loss by log S: 2 z log S. */
} Tile;

/* What is to be computed. Arrays of numbers are of float or of double, but for `loss` and `memory`,
   which are of double. What is NULL is not wanted. */
typedef struct {
    const void *logits;           /* (N, C) */
    const volatile Index *labels; /* (N,): each is read once, others might write to them. */
    ptrdiff_t rows, classes;      /* N and C */
    const double *shares; /* (N,): what losses and gradients are multiplied by, gained, or NULL. */
    double *weights; /* (N, C): q where other classes than y have weights, gained, or NULL; scratch,
                        too. */
    const double *temperatures; /* (N,): T, or NULL. */
    const double *caps;         /* (N,): soft caps, or NULL. */
    const double *z_weights;    /* (N,): z, gained, or NULL. */
    void *probs;                /* (N, C) */
    double *loss;               /* (N,) */
    double *z_loss;             /* (N,) */
    void *grad_probs;           /* (N, C), zeros: what is at y is filled in. */
    void *grad_logits;          /* (N, C) */
    double *memory;             /* C numbers, or TILE where that is more, twice that for caps; for
                                   weights 3 C, and 4 C for caps. */
    unsigned char *left; /* (N,): 1 is written for a row that is left, whose results are nothing. */
} Task;

INLINE uint64_t bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

INLINE double of_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

INLINE double get(const void *numbers, ptrdiff_t at, int is_float)
{
    return is_float ? (double)((const Float *)numbers)[at] : ((const Double *)numbers)[at];
}

INLINE void put(void *numbers, ptrdiff_t at, double x, int is_float)
{
    if (is_float)
        ((Float *)numbers)[at] = (float)x;
    else
        ((Double *)numbers)[at] = x;
}

INLINE ptrdiff_t bytes_of(ptrdiff_t count, int is_float)
{
    return count * (ptrdiff_t)(is_float ? sizeof(float) : sizeof(double));
}

/* Return where a number is in an array; NULL where there is no array. */
INLINE char *place(const void *numbers, ptrdiff_t at, int is_float)
{
    return numbers ? (char *)numbers + bytes_of(at, is_float) : NULL;
}

/* Have the memory of a piece brought into the cache; it may be beyond the end of its array. */
INLINE void look_ahead(const char *piece, int is_float, const int to_write)
{
    for (ptrdiff_t at = 0; at < bytes_of(PIECE, is_float); at += LINE)
        if (to_write)
            __builtin_prefetch(piece + at, 1);
        else
            __builtin_prefetch(piece + at, 0);
}

/* Return exp(a + a_error) 2**GAIN, to 0.7 units in the last place; NaN for NaN.

   a = k log 2 + r, |r| <= log(2) / 2; exp(r) = 1 + r + r**2 q(r), with q interpolated at the nodes
   of Chebyshev to 0.003 units. What 1 + r is rounded to is made good by what is added last. */
INLINE double exponential(double a, double a_error)
{
    /* Adding 1.5 * 2**52 rounds to a whole number, which is then in the last bits: here the
       exponent that a double has for 2**(k + GAIN), which is to be from 1 to 2046. exp(LOWEST)
       2**GAIN stands for all below. With the largest k, all above is larger than LARGEST_SUM. */
    const double shift = 0x1.8p52 + 1023 + GAIN;
    const int64_t largest = (int64_t)bits_of(0x1.8p52 + 2046);
    a = a < LOWEST ? LOWEST : a;
    const int64_t whole = (int64_t)bits_of(fma(a, LOG2_E, shift));
    const uint64_t exponent = (uint64_t)(whole < largest ? whole : largest);
    const double k = of_bits(exponent) - shift;
    const double upper = fma(-k, LN2, a), tail = fma(-k, LN2_TAIL, a_error), r = upper + tail;
    const double one = 1.0 + upper, lower = (upper - (one - 1.0)) + tail;
    double q = 0x1.1f730349868cep-29;
    q = fma(q, r, 0x1.af4de97ca4194p-26);
    q = fma(q, r, 0x1.27e4db646b17ep-22);
    q = fma(q, r, 0x1.71de0231960ebp-19);
    q = fma(q, r, 0x1.a01a01a6d889cp-16);
    q = fma(q, r, 0x1.a01a01abe7fe1p-13);
    q = fma(q, r, 0x1.6c16c16c162d4p-10);
    q = fma(q, r, 0x1.11111111100dcp-7);
    q = fma(q, r, 0x1.5555555555556p-5);
    q = fma(q, r, 0x1.5555555555557p-3);
    q = fma(q, r, 0.5);
    return (one + fma(r * r, q, lower)) * of_bits(exponent << 52);
}

/* 2**(j / 32), and what is to be added to it. */
static const double POWERS[32] = {
    0x1p+0, 0x1.059b0d3158574p+0, 0x1.0b5586cf9890fp+0, 0x1.11301d0125b51p+0, 0x1.172b83c7d517bp+0,
    0x1.1d4873168b9aap+0, 0x1.2387a6e756238p+0, 0x1.29e9df51fdee1p+0, 0x1.306fe0a31b715p+0,
    0x1.371a7373aa9cbp+0, 0x1.3dea64c123422p+0, 0x1.44e086061892dp+0, 0x1.4bfdad5362a27p+0,
    0x1.5342b569d4f82p+0, 0x1.5ab07dd485429p+0, 0x1.6247eb03a5585p+0, 0x1.6a09e667f3bcdp+0,
    0x1.71f75e8ec5f74p+0, 0x1.7a11473eb0187p+0, 0x1.82589994cce13p+0, 0x1.8ace5422aa0dbp+0,
    0x1.93737b0cdc5e5p+0, 0x1.9c49182a3f090p+0, 0x1.a5503b23e255dp+0, 0x1.ae89f995ad3adp+0,
    0x1.b7f76f2fb5e47p+0, 0x1.c199bdd85529cp+0, 0x1.cb720dcef9069p+0, 0x1.d5818dcfba487p+0,
    0x1.dfc97337b9b5fp+0, 0x1.ea4afa2a490dap+0, 0x1.f50765b6e4540p+0};
static const double TAILS[32] = {
    0.0, 0x1.d73e2a475b465p-55, 0x1.8a62e4adc610bp-54, -0x1.6c51039449b3ap-54,
    -0x1.19041b9d78a76p-55, 0x1.e016e00a2643cp-54, 0x1.9b07eb6c70573p-54, 0x1.612e8afad1255p-55,
    0x1.6f46ad23182e4p-55, -0x1.63aeabf42eae2p-54, 0x1.ada0911f09ebcp-55, 0x1.89b7a04ef80d0p-59,
    0x1.d4397afec42e2p-56, -0x1.07abe1db13cadp-55, 0x1.6324c054647adp-54, -0x1.383c17e40b497p-54,
    -0x1.bdd3413b26456p-54, -0x1.16e4786887a99p-55, -0x1.41577ee04992fp-55, -0x1.d4c1dd41532d8p-54,
    0x1.6e9f156864b27p-54, -0x1.75fc781b57ebcp-57, 0x1.c7c46b071f2bep-56, -0x1.d2f6edb8d41e1p-54,
    0x1.7a1cd345dcc81p-54, -0x1.5584f7e54ac3bp-56, 0x1.11065895048ddp-55, 0x1.503cbd1e949dbp-56,
    0x1.2ed02d75b3707p-55, -0x1.1a5cd4f184b5cp-54, -0x1.e9c23179c2893p-54, 0x1.9d3e12dd8a18bp-54};

/* Return cap tanh(a / cap) to ten more bits than float64 has, the rest of them in `lost`, and its
   derivative in `slope`; NaN where |a| / cap is too large.

   With w = |a| / cap and e = exp(-2 w), tanh(w) = (1 - e) / (1 + e), and the derivative is 4 e /
   (1 + e)**2. e is 2**(k / 32) exp(r), |r| <= log(2) / 64. For small w, tanh(w) / w is a sum of
   powers of w**2. */
INLINE double capped(double a, double cap, double *lost, double *slope)
{
    const double shift = 0x1.8p52, unit = 0x1.62e42fef8p-6, unit_tail = 0x1.1cf79abc9e3b4p-41;
    const double size = fabs(a), w = size / cap, tail = fma(-w, cap, size) / cap;
    const double x = -2.0 * w, by_unit = fma(x, 0x1.71547652b82fep5, shift), k = by_unit - shift;
    const int64_t whole = (int64_t)(bits_of(by_unit) - bits_of(shift));
    const double upper = fma(-k, unit, x), lower = fma(-k, unit_tail, -2.0 * tail);
    const double r = upper + lower, r_tail = (upper - r) + lower;
    double q = 1.0 / 40320.0;
    q = fma(q, r, 1.0 / 5040.0);
    q = fma(q, r, 1.0 / 720.0);
    q = fma(q, r, 1.0 / 120.0);
    q = fma(q, r, 1.0 / 24.0);
    q = fma(q, r, 1.0 / 6.0);
    q = fma(q, r, 0.5);
    const double head = POWERS[whole & 31], of_r = fma(r * r, q, r_tail), added = head * r;
    const double first = head + added;
    const double small = TAILS[whole & 31], of_head = fma(head, of_r, fma(small, r, small));
    const double rest = ((head - first) + added) + (fma(head, r, -added) + of_head);
    const double power = of_bits((uint64_t)((whole >> 5) + 1023) << 52);
    const double e = (first + rest) * power, e_tail = ((first - (first + rest)) + rest) * power;
    const double over = 1.0 - e, over_tail = ((1.0 - over) - e) - e_tail;
    const double under = 1.0 + e, under_tail = ((1.0 - under) + e) + e_tail;
    const double tanh = over / under;
    const double tanh_tail = (fma(-tanh, under, over) + over_tail - tanh * under_tail) / under;
    const double derivative = 4.0 * e / (under * under);
    const double value = cap * tanh, rounding = fma(cap, tanh, -value) + cap * tanh_tail;
    const double s = w * w;
    double p = 21844.0 / 6081075.0;
    p = fma(p, s, -1382.0 / 155925.0);
    p = fma(p, s, 62.0 / 2835.0);
    p = fma(p, s, -17.0 / 315.0);
    p = fma(p, s, 2.0 / 15.0);
    p = fma(p, s, -1.0 / 3.0);
    const int is_small = w < 0x1p-5, is_masked = a == -INFINITY;
    const double sign = copysign(1.0, a), z = sign * (is_small ? size : value);
    *lost = is_masked ? 0.0 : sign * (is_small ? size * (s * p) : rounding);
    *slope = is_masked ? 0.0 : fma(derivative, e_tail / e - 2.0 * under_tail / under, derivative);
    return is_masked ? a : w <= LARGEST_OF_CAP ? z : NAN;
}

/* Return log((1 + f) 2**k) + lost, to one unit in the last place, for 1 + f between sqrt(1/2) and
   sqrt(2) and a small `lost`.

   With s = f / (2 + f), log(1 + f) = f - f**2 / 2 + s (f**2 / 2 + g(s**2)), where g is interpolated
   at the nodes of Chebyshev to 0.05 units (the form of log in fdlibm, Sun Microsystems, 1993). */
INLINE double log_of_parts(double k, double f, double lost)
{
    const double s = f / (2.0 + f), z = s * s, half = 0.5 * f * f;
    double g = 0x1.2b5900de53b32p-3;
    g = fma(g, z, 0x1.39fe51a7c18f9p-3);
    g = fma(g, z, 0x1.7462b51cb66b1p-3);
    g = fma(g, z, 0x1.c71c62e3f11e6p-3);
    g = fma(g, z, 0x1.2492492df281ap-2);
    g = fma(g, z, 0x1.99999999952d7p-2);
    g = fma(g, z, 0x1.5555555555558p-1);
    const double small = fma(k, LN2_TAIL, lost);
    return fma(k, LN2, f - (half - fma(s, fma(g, z, half), small)));
}

/* Return log((x + x_error) / 2**GAIN), for a sum of usual size. */
INLINE double log_of_total(double x, double x_error)
{
    const int64_t exponent = (int64_t)(bits_of(x) - bits_of(SQRT_HALF)) >> 52;
    const double k = (double)(exponent - GAIN);
    const double f = of_bits(bits_of(x) - ((uint64_t)exponent << 52)) - 1.0;
    return log_of_parts(k, f, x_error / x);
}

/* Return log(1 + x) for x from 0 on, to one unit in the last place; 1 + x is (1 + f) 2**k. */
INLINE double log_of_one_plus(double x)
{
    const double u = 1.0 + x, lost = x < 1.0 ? x - (u - 1.0) : 1.0 - (u - x);
    const uint64_t exponent = (bits_of(u) - bits_of(SQRT_HALF)) >> 52;
    const double k = of_bits(exponent | bits_of(0x1p52)) - 0x1p52;
    const double f = of_bits(bits_of(u) - (exponent << 52)) - 1.0;
    return log_of_parts(k, f, lost / u);
}

/* Return a weight that was given times 2**600; NaN where it is not of usual size. */
INLINE double weight_of(double gained)
{
    const int is_usual =
        (gained == 0.0) | ((gained >= SMALLEST_WEIGHT) & (gained <= LARGEST_WEIGHT));
    return is_usual ? gained * UNGAINED : NAN;
}

/* Add to a sum in two parts (the two-sum of Knuth, The Art of Computer Programming, vol. 2, 4.2.2).
 */
#define ADD(sum, error, term)                                                           \
    do {                                                                                \
        const __typeof__(sum) x_ = (term), total_ = (sum) + x_, of_x_ = total_ - (sum); \
        (error) += ((sum) - (total_ - of_x_)) + (x_ - of_x_);                           \
        (sum) = total_;                                                                 \
    } while (0)

/* Return a sum in two parts as rounded, and in `error` what that leaves. */
INLINE double rounded(double sum, double *error)
{
    const double total = sum + *error;
    *error = (sum - total) + *error;
    return total;
}

/* Return x + x_error and one more number, as rounded, and in `error` what that leaves. */
INLINE double plus(double x, double x_error, double term, double *error)
{
    *error = x_error;
    ADD(x, *error, term);
    return rounded(x, error);
}

/* Return (x + x_error) (y + y_error), but for the product of the two small ones. */
INLINE double product(double x, double x_error, double y, double y_error)
{
    return fma(x, y, x * y_error + x_error * y);
}

/* Return (x + x_error) / y as rounded, and in `error` what that leaves. */
INLINE double quotient(double x, double x_error, double y, double *error)
{
    const double whole = x / y;
    *error = (fma(-whole, y, x) + x_error) / y;
    return whole;
}

/* Return 1 / (x + x_error) as rounded, and in `error` what that leaves. */
INLINE double inverse_of(double x, double x_error, double *error)
{
    const double inverse = 1.0 / x;
    *error = inverse * (fma(-x, inverse, 1.0) - x_error * inverse);
    return inverse;
}

/* Return log((rest + rest_error + e) / e). */
INLINE double log_of_sum(double rest, double rest_error, double e)
{
    double error;
    const double x = quotient(rest, rest_error, e, &error);
    return log_of_one_plus(x) + error / (1.0 + x);
}

/* Sum rows of few classes, one in each lane. */
INLINE void sum_narrow(const double *e, ptrdiff_t rows, ptrdiff_t classes, Tile *tile)
{
    ptrdiff_t row = 0;
    for (; row + 2 * LANES <= rows; row += 2 * LANES) {
        Lanes sums[2] = {{0}}, errors[2] = {{0}};
        for (const double *at = e + row * classes, *end = at + classes; at < end; at++) {
            const double *const on = at + LANES * classes;
            const Lanes first = {at[0], at[classes], at[2 * classes], at[3 * classes]};
            const Lanes second = {on[0], on[classes], on[2 * classes], on[3 * classes]};
            ADD(sums[0], errors[0], first);
            ADD(sums[1], errors[1], second);
        }
        memcpy(tile->rest + row, sums, sizeof sums);
        memcpy(tile->rest_error + row, errors, sizeof errors);
    }
    for (; row < rows; row++) {
        double sum = 0.0, error = 0.0;
        for (ptrdiff_t c = 0; c < classes; c++)
            ADD(sum, error, e[row * classes + c]);
        tile->rest[row] = sum;
        tile->rest_error[row] = error;
    }
}

/* Sum one row of many classes, in four sums of so many lanes. */
INLINE void sum_wide(const double *e, ptrdiff_t classes, double *total, double *total_error)
{
    Lanes sums[4] = {{0}}, errors[4] = {{0}}, terms[4];
    double sum = 0.0, error = 0.0;
    ptrdiff_t c = 0;
    for (; c + 4 * LANES <= classes; c += 4 * LANES) {
        memcpy(terms, e + c, sizeof terms);
        ADD(sums[0], errors[0], terms[0]);
        ADD(sums[1], errors[1], terms[1]);
        ADD(sums[2], errors[2], terms[2]);
        ADD(sums[3], errors[3], terms[3]);
    }
    for (; c < classes; c++)
        ADD(sum, error, e[c]);
    for (int i = 0; i < 4; i++)
        for (int lane = 0; lane < LANES; lane++) {
            error += errors[i][lane];
            ADD(sum, error, sums[i][lane]);
        }
    *total = sum;
    *total_error = error;
}

/* Compute e of some rows. */
INLINE void exponentials(const Task *task, ptrdiff_t start, ptrdiff_t count, int is_float)
{
    const int is_short = task->classes <= TILE;
    double *const e = task->memory;
    ptrdiff_t i = 0;
    for (; i + PIECE <= count; i += PIECE) {
        look_ahead(place(task->logits, start + i + TILE, is_float), is_float, 0);
        /* The results of short rows are written soon. */
        if (is_short && task->probs)
            look_ahead(place(task->probs, start + i, is_float), is_float, 1);
        if (is_short && task->grad_logits)
            look_ahead(place(task->grad_logits, start + i, is_float), is_float, 1);
        for (ptrdiff_t j = i; j < i + PIECE; j++)
            e[j] = exponential(get(task->logits, start + j, is_float), 0.0);
    }
    for (; i < count; i++)
        e[i] = exponential(get(task->logits, start + i, is_float), 0.0);
}

/* Return where the largest of some numbers is; NaN is none. */
INLINE ptrdiff_t largest_of(const double *numbers, ptrdiff_t count)
{
    double best[2 * LANES], most = -INFINITY;
    ptrdiff_t i = 0, at = 0;
    for (int lane = 0; lane < 2 * LANES; lane++)
        best[lane] = -INFINITY;
    for (; i + 2 * LANES <= count; i += 2 * LANES)
        for (int lane = 0; lane < 2 * LANES; lane++)
            best[lane] = numbers[i + lane] > best[lane] ? numbers[i + lane] : best[lane];
    for (int lane = 0; lane < 2 * LANES; lane++)
        most = best[lane] > most ? best[lane] : most;
    for (; i < count; i++)
        most = numbers[i] > most ? numbers[i] : most;
    while (at < count - 1 && numbers[at] != most)
        at++;
    return at;
}

/* Sum numbers but one of them, in two parts of which the first is rounded. */
INLINE double sum_without(double *numbers, ptrdiff_t count, ptrdiff_t one, double *error)
{
    const double kept = numbers[one];
    double sum;
    numbers[one] = 0.0;
    sum_wide(numbers, count, &sum, error);
    numbers[one] = kept;
    return rounded(sum, error);
}

/* Return where the derivatives of capped logits are: after the e of a tile, or of a long row. */
INLINE double *slopes_of(const Task *task)
{
    return task->memory + (task->classes > TILE ? task->classes : TILE);
}

/* Compute e of some rows of capped logits, or of logits over T. */
INLINE void scaled_exponentials(const Task *task, ptrdiff_t start, ptrdiff_t rows, int is_float)
{
    const ptrdiff_t classes = task->classes;
    for (ptrdiff_t row = 0; row < rows; row++) {
        const ptrdiff_t from = (start + row) * classes;
        double *const e = task->memory + row * classes;
        double *const slopes = slopes_of(task) + row * classes;
        const double t = task->temperatures ? task->temperatures[start + row] : 1.0;
        if (task->caps) {
            const double cap = task->caps[start + row];
            for (ptrdiff_t c = 0; c < classes; c++) {
                double lost;
                const double a = get(task->logits, from + c, is_float);
                const double z = capped(a, cap, &lost, &slopes[c]);
                const double whole = z / t, error = (fma(-whole, t, z) + lost) / t;
                e[c] = exponential(whole, whole > LOWEST ? error : 0.0);
            }
        } else {
            for (ptrdiff_t c = 0; c < classes; c++) {
                const double a = get(task->logits, from + c, is_float), whole = a / t;
                e[c] = exponential(whole, whole > LOWEST ? fma(-whole, t, a) / t : 0.0);
            }
        }
    }
}

/* Return a power of two by which T is not small: what is divided by it is normal. */
INLINE double scale_of(double t)
{
    return t < 1.0 ? ldexp(1.0, -ilogb(t)) : 1.0;
}

/* Return whether T and a soft cap are of usual size. */
INLINE int are_usual(const Task *task, ptrdiff_t row)
{
    const double t = task->temperatures ? task->temperatures[row] : 1.0;
    const double cap = task->caps ? task->caps[row] : 1.0;
    return (t >= SMALLEST_T) & (t <= LARGEST_T) & (cap >= SMALLEST_T) & (cap <= LARGEST_T);
}

/* Return log S of a row where it is near 0, by the logits' own digits: as z_m + log1p(rest / e_m),
   with m where z is largest. The sum S near 1 has lost those of its logarithm. */
INLINE double log_near_zero(const Task *task, ptrdiff_t at, double *e, int is_float)
{
    const ptrdiff_t classes = task->classes, m = largest_of(e, classes);
    const double t = task->temperatures ? task->temperatures[at] : 1.0;
    double rest_error, lost = 0.0, slope, z = get(task->logits, at * classes + m, is_float);
    const double rest = sum_without(e, classes, m, &rest_error);
    if (task->caps)
        z = capped(z, task->caps[at], &lost, &slope);
    const double whole = z / t, error = (fma(-whole, t, z) + lost) / t;
    return whole + (log_of_sum(rest, rest_error, e[m]) + error);
}

/* Compute what a tile's rows with a temperature, a soft cap or a z-loss have beside their sums. */
INLINE void extend(const Task *task, ptrdiff_t start, ptrdiff_t rows, Tile *tile, int is_float)
{
    for (ptrdiff_t row = 0; row < rows; row++) {
        const double t = task->temperatures ? task->temperatures[start + row] : 1.0;
        const double z = task->z_weights ? weight_of(task->z_weights[start + row]) : 0.0;
        double log_total = log_of_total(tile->total[row], tile->total_error[row]);
        if (z > 0.0 && fabs(log_total) < 0.5)
            log_total = log_near_zero(task, start + row, task->memory + row * task->classes,
                                      is_float);
        const double slope = 2.0 * z * log_total, inverse = tile->inverse[row];
        const double factor = (tile->share[row] + slope) / t, part = inverse * factor;
        tile->z[row] = z;
        tile->log_total[row] = log_total;
        tile->slope[row] = slope;
        tile->share_of_inverse[row] = part;
        tile->share_of_inverse_error[row] =
            fma(inverse, factor, -part) + tile->inverse_error[row] * factor;
        /* NaN for a z that is not of usual size. */
        tile->share[row] = are_usual(task, start + row) && z >= 0.0 ? tile->share[row] : NAN;
    }
}

/* Compute the sums of some rows from their e, and what follows from them. */
INLINE void sums(const Task *task, ptrdiff_t start, ptrdiff_t rows, Tile *tile)
{
    double *const e = task->memory;
    const ptrdiff_t classes = task->classes;
    for (ptrdiff_t row = 0; row < rows; row++) {
        const ptrdiff_t label = task->labels[start + row];
        const int is_class = label >= 0 && label < classes;
        const ptrdiff_t y = is_class ? label : 0;
        tile->y[row] = y;
        /* A row without its class is left: NaN is no sum of usual size. */
        tile->e_y[row] = is_class ? e[row * classes + y] : NAN;
        e[row * classes + y] = 0.0;
    }
    if (classes <= NARROW)
        sum_narrow(e, rows, classes, tile);
    else
        for (ptrdiff_t row = 0; row < rows; row++)
            sum_wide(e + row * classes, classes, &tile->rest[row], &tile->rest_error[row]);
    for (ptrdiff_t row = 0; row < rows; row++) {
        e[row * classes + tile->y[row]] = tile->e_y[row];
        tile->share[row] = task->shares ? weight_of(task->shares[start + row]) : 1.0;
    }
    for (ptrdiff_t row = 0; row < rows; row++) {
        double rest_error = tile->rest_error[row], total_error, error;
        const double rest = rounded(tile->rest[row], &rest_error), share = tile->share[row];
        const double total = plus(rest, rest_error, tile->e_y[row], &total_error);
        const double inverse = inverse_of(total, total_error, &error), part = inverse * share;
        tile->rest[row] = rest;
        tile->rest_error[row] = rest_error;
        tile->total[row] = total;
        tile->total_error[row] = total_error;
        tile->inverse[row] = inverse;
        tile->inverse_error[row] = error;
        tile->share_of_inverse[row] = part;
        tile->share_of_inverse_error[row] = fma(inverse, share, -part) + error * share;
    }
}

/* Write e times what is given in two parts, and times derivatives if there are any. */
INLINE void scale(const double *e, ptrdiff_t count, double factor, double error,
                  const double *slopes, char *to, int is_float)
{
    if (slopes)
        for (ptrdiff_t i = 0; i < count; i++)
            put(to, i, fma(e[i], factor, e[i] * error) * slopes[i], is_float);
    else
        for (ptrdiff_t i = 0; i < count; i++)
            put(to, i, fma(e[i], factor, e[i] * error), is_float);
}

/* Write the e of each row times its factor to a block of results, from its row `start` on, and the
   same to a second one if there is one. */
INLINE void scale_rows(const Task *task, ptrdiff_t start, ptrdiff_t rows, const double *factors,
                       const double *errors, const double *slopes, void *block, void *second,
                       int is_float)
{
    const ptrdiff_t classes = task->classes, whole = classes - classes % PIECE;
    const double *const e = task->memory;
    char *const to = place(block, start * classes, is_float);
    char *const copy = place(second, start * classes, is_float);
    if (classes <= TILE) {
        for (ptrdiff_t row = 0; row < rows; row++)
            scale(e + row * classes, classes, factors[row], errors[row],
                  slopes ? slopes + row * classes : NULL, place(to, row * classes, is_float),
                  is_float);
        if (copy)
            memcpy(copy, to, bytes_of(rows * classes, is_float));
        return;
    }
    for (ptrdiff_t c = 0; c < whole; c += PIECE) {
        look_ahead(place(to, c + AHEAD, is_float), is_float, 1);
        scale(e + c, PIECE, *factors, *errors, slopes ? slopes + c : NULL, place(to, c, is_float),
              is_float);
        if (!copy)
            continue;
        look_ahead(place(copy, c + AHEAD, is_float), is_float, 1);
        memcpy(place(copy, c, is_float), place(to, c, is_float), bytes_of(PIECE, is_float));
    }
    scale(e + whole, classes - whole, *factors, *errors, slopes ? slopes + whole : NULL,
          place(to, whole, is_float), is_float);
    if (copy)
        memcpy(place(copy, whole, is_float), place(to, whole, is_float),
               bytes_of(classes - whole, is_float));
}

/* Write probabilities, and gradients as they are where no class is the true one. */
INLINE void spread(const Task *task, const Tile *tile, ptrdiff_t start, ptrdiff_t rows,
                   int is_float, int is_extended)
{
    const int are_alike = task->probs && !task->shares && !is_extended;
    if (task->probs)
        scale_rows(task, start, rows, tile->inverse, tile->inverse_error, NULL, task->probs,
                   are_alike ? task->grad_logits : NULL, is_float);
    if (!task->grad_logits || are_alike)
        return;
    if (is_extended && task->caps)
        scale_rows(task, start, rows, tile->share_of_inverse, tile->share_of_inverse_error,
                   slopes_of(task), task->grad_logits, NULL, is_float);
    else
        scale_rows(task, start, rows, tile->share_of_inverse, tile->share_of_inverse_error, NULL,
                   task->grad_logits, NULL, is_float);
}

/* Write what depends on the class y: 0 - x and not -x, as a 0 is to be 0 and not -0. */
INLINE void finish(const Task *task, const Tile *tile, ptrdiff_t start, ptrdiff_t rows,
                   int is_float)
{
    if (task->loss)
        for (ptrdiff_t row = 0; row < rows; row++)
            task->loss[start + row] =
                log_of_sum(tile->rest[row], tile->rest_error[row], tile->e_y[row]) *
                tile->share[row];
    if (task->grad_probs)
        for (ptrdiff_t row = 0; row < rows; row++) {
            double lost;
            const double x =
                quotient(tile->total[row], tile->total_error[row], tile->e_y[row], &lost);
            put(task->grad_probs, (start + row) * task->classes + tile->y[row],
                0.0 - (x + lost) * tile->share[row], is_float);
        }
    if (task->grad_logits)
        for (ptrdiff_t row = 0; row < rows; row++)
            put(task->grad_logits, (start + row) * task->classes + tile->y[row],
                0.0 - product(tile->rest[row], tile->rest_error[row], tile->share_of_inverse[row],
                              tile->share_of_inverse_error[row]),
                is_float);
}

/* Write what a temperature, a soft cap and a z-loss change of that. */
INLINE void finish_extended(const Task *task, const Tile *tile, ptrdiff_t start, ptrdiff_t rows,
                            int is_float)
{
    for (ptrdiff_t row = 0; row < rows; row++) {
        const ptrdiff_t at = start + row, y = tile->y[row];
        const double share = tile->share[row], log_total = tile->log_total[row];
        const double z_loss = tile->z[row] * log_total * log_total;
        if (task->loss)
            task->loss[at] += z_loss;
        if (task->z_loss)
            task->z_loss[at] = z_loss;
        if (task->grad_logits) {
            const double t = task->temperatures ? task->temperatures[at] : 1.0;
            const double lost = share * tile->rest[row] + share * tile->rest_error[row];
            const double x = fma(tile->slope[row], tile->e_y[row], -lost) * scale_of(t);
            const double whole = fma(x, tile->inverse[row], x * tile->inverse_error[row]);
            const double slope = task->caps ? slopes_of(task)[row * task->classes + y] : 1.0;
            put(task->grad_logits, at * task->classes + y,
                0.0 + whole / (t * scale_of(t)) * slope, is_float);
        }
    }
}

/* Mark the rows that are left, and return how many they are. */
INLINE ptrdiff_t mark(const Tile *tile, ptrdiff_t rows, unsigned char *left)
{
    ptrdiff_t count = 0;
    for (ptrdiff_t row = 0; row < rows; row++) {
        const double rest = tile->rest[row], total = tile->total[row], e_y = tile->e_y[row];
        const double share = tile->share[row];
        /* NaN is no smaller and no larger than anything. */
        left[row] =
            !((rest >= SMALLEST_REST) & (rest >= SMALLEST_RATIO * e_y) & (e_y >= SMALLEST_E_Y) &
              (total >= SMALLEST_SUM) & (total <= LARGEST_SUM) & (share >= 0.0));
        count += left[row];
    }
    return count;
}

/* What is computed of a row with any target weights q, of sum s, and a temperature T: with d = a /
   T, m where d is largest, and rest, the sum of e without e_m. */
typedef struct {
    ptrdiff_t m, top;          /* Where d is largest, and where q is. */
    double s, s_error, others; /* The sum of q, and that without its largest. */
    double rest, rest_error, total, inverse, inverse_error, temperature;
    double scale;               /* That of T, see scale_of. */
    double z, log_total, slope; /* As in a tile. */
} Row;

/* Return dL/da_c = ((s - q_c) f(x)_c - q_c (1 - f(x)_c) + slope f(x)_c) / T, with rest / S for
   1 - f(x)_m, and the sum of the others for s - q_c where q_c is largest: neither cancels. */
INLINE double gradient(const Row *row, double e, double q, int is_m, int is_top)
{
    const double inverse = row->inverse, error = row->inverse_error, scale = row->scale;
    const double others = is_top ? row->others : (row->s - q) + row->s_error;
    const double x = e * (others + row->slope);
    const double gained = fma(x, inverse * scale, x * (error * scale));
    const double other = is_m ? product(row->rest, row->rest_error, inverse, error)
                              : 1.0 - fma(e, inverse, e * error);
    return (gained - q * scale * other) / (row->temperature * scale);
}

/* Compute e and the sums of a row. */
INLINE void sum_weighted(const Task *task, ptrdiff_t at, double *q, Row *row, int is_float)
{
    const ptrdiff_t classes = task->classes;
    double *const e = task->memory, *const d = e + classes, *const d_error = d + classes;
    double *const slopes = d_error + classes;
    const double t = row->temperature, cap = task->caps ? task->caps[at / classes] : 0.0;
    for (ptrdiff_t c = 0; c < classes; c++) {
        double tail = 0.0, a = get(task->logits, at + c, is_float);
        if (task->caps)
            a = capped(a, cap, &tail, &slopes[c]);
        const double whole = a / t, lost = (fma(-whole, t, a) + tail) / t;
        d[c] = whole;
        /* That of a masked class is NaN, and of one below LOWEST it may be larger than LOWEST. */
        d_error[c] = whole > LOWEST ? lost : 0.0;
        e[c] = exponential(whole, d_error[c]);
        q[c] = weight_of(q[c]);
    }
    row->m = largest_of(d, classes);
    row->top = largest_of(q, classes);
    row->others = sum_without(q, classes, row->top, &row->s_error);
    row->s = row->others;
    ADD(row->s, row->s_error, q[row->top]);
    row->rest = sum_without(e, classes, row->m, &row->rest_error);
    double total_error;
    row->total = plus(row->rest, row->rest_error, e[row->m], &total_error);
    row->inverse = inverse_of(row->total, total_error, &row->inverse_error);
    row->scale = scale_of(t);
    row->z = task->z_weights ? weight_of(task->z_weights[at / classes]) : 0.0;
    row->log_total = log_of_total(row->total, total_error);
    if (fabs(row->log_total) < 0.5)
        row->log_total = d[row->m] + (log_of_sum(row->rest, row->rest_error, e[row->m]) +
                                      d_error[row->m]);
    row->slope = 2.0 * row->z * row->log_total;
}

/* Return whether a row is left. */
INLINE int is_unusual(const Row *row, const double *e, const double *q, ptrdiff_t classes)
{
    const double t = row->temperature, rest = row->rest, total = row->total;
    int is_odd =
        !((rest >= SMALLEST_REST) & (rest >= SMALLEST_RATIO * e[row->m]) & (total >= SMALLEST_SUM) &
          (total <= LARGEST_SUM) & (t >= SMALLEST_T) & (t <= LARGEST_T) & (row->s >= 0.0) &
          (row->z >= 0.0));
    for (ptrdiff_t c = 0; c < classes; c++)
        is_odd |= !((q[c] == 0.0) | (e[c] >= SMALLEST_E_Y));
    return is_odd;
}

/* Compute a row with target weights. Return whether it is left. The loss is
   s log1p(rest / e_m) + sum_c q_c (d_m - d_c), in which no term is negative. */
INLINE int compute_weighted(const Task *task, ptrdiff_t at, int is_float)
{
    const ptrdiff_t classes = task->classes, start = at * classes;
    double *const e = task->memory, *const d = e + classes, *const d_error = d + classes;
    double *const q = task->weights + start, *const slopes = d_error + classes;
    Row row = {.temperature = task->temperatures ? task->temperatures[at] : 1.0};
    sum_weighted(task, start, q, &row, is_float);
    if (is_unusual(&row, e, q, classes) || !are_usual(task, at))
        return 1;
    if (task->probs)
        scale(e, classes, row.inverse, row.inverse_error, NULL,
              place(task->probs, start, is_float), is_float);
    if (task->grad_probs)
        for (ptrdiff_t c = 0; c < classes; c++)
            put(task->grad_probs, start + c, q[c] == 0.0 ? 0.0 : -(row.total / e[c] * q[c]),
                is_float);
    if (task->grad_logits) {
        const ptrdiff_t m = row.m, top = row.top;
        for (ptrdiff_t c = 0; c < classes; c++)
            put(task->grad_logits, start + c, gradient(&row, e[c], q[c], 0, 0), is_float);
        put(task->grad_logits, start + m, gradient(&row, e[m], q[m], 1, m == top), is_float);
        put(task->grad_logits, start + top, gradient(&row, e[top], q[top], m == top, 1), is_float);
        if (task->caps)
            for (ptrdiff_t c = 0; c < classes; c++)
                put(task->grad_logits, start + c,
                    get(task->grad_logits, start + c, is_float) * slopes[c], is_float);
    }
    if (task->z_loss)
        task->z_loss[at] = row.z * row.log_total * row.log_total;
    if (task->loss) {
        double sum, error;
        const double log_of_rest = log_of_sum(row.rest, row.rest_error, e[row.m]);
        const double d_m = d[row.m], d_m_error = d_error[row.m];
        for (ptrdiff_t c = 0; c < classes; c++)
            e[c] = q[c] == 0.0 ? 0.0 : q[c] * ((d_m - d[c]) + (d_m_error - d_error[c]));
        sum_wide(e, classes, &sum, &error);
        const double z_loss = row.z * row.log_total * row.log_total;
        task->loss[at] = fma(row.s, log_of_rest, error) + sum + z_loss;
    }
    return 0;
}

/* Compute all rows, as many at a time as fit into the nearest cache. Return how many are left. */
INLINE ptrdiff_t compute(const Task *task, int is_float, int is_extended)
{
    const ptrdiff_t fitting = TILE / task->classes < ROWS ? TILE / task->classes : ROWS;
    const ptrdiff_t step = fitting > 0 ? fitting : 1;
    ptrdiff_t left = 0;
    Tile tile;
    if (task->weights) {
        for (ptrdiff_t row = 0; row < task->rows; row++)
            left += task->left[row] = (unsigned char)compute_weighted(task, row, is_float);
        return left;
    }
    for (ptrdiff_t start = 0; start < task->rows; start += step) {
        const ptrdiff_t rows = task->rows - start < step ? task->rows - start : step;
        if (is_extended && (task->caps || task->temperatures))
            scaled_exponentials(task, start, rows, is_float);
        else
            exponentials(task, start * task->classes, rows * task->classes, is_float);
        sums(task, start, rows, &tile);
        if (is_extended)
            extend(task, start, rows, &tile, is_float);
        spread(task, &tile, start, rows, is_float, is_extended);
        finish(task, &tile, start, rows, is_float);
        if (is_extended)
            finish_extended(task, &tile, start, rows, is_float);
        left += mark(&tile, rows, task->left + start);
    }
    return left;
}

/* Return whether there is a temperature, a soft cap or a z-loss. */
INLINE int is_extended(const Task *task)
{
    return task->temperatures || task->caps || task->z_weights;
}

/* The kernel is compiled once for each kind of processor. */
#define KERNEL(PROCESSOR, TARGET)                                             \
    TARGET ptrdiff_t softgrad_##PROCESSOR##_double(const Task *task)          \
    {                                                                         \
        return is_extended(task) ? compute(task, 0, 1) : compute(task, 0, 0); \
    }                                                                         \
    TARGET ptrdiff_t softgrad_##PROCESSOR##_float(const Task *task)           \
    {                                                                         \
        return is_extended(task) ? compute(task, 1, 1) : compute(task, 1, 0); \
    }

#ifdef __x86_64__
KERNEL(avx512, __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"))))
KERNEL(avx2, __attribute__((target("avx2,fma"))))
#else
KERNEL(neon, )
#endif

/* Return the names of those kinds that this processor is of, the fastest first. */
const char *softgrad_processors(void)
{
#ifdef __x86_64__
    if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")))
        return "";
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                   __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")
               ? "avx512 avx2"
               : "avx2";
#else
    return "neon";
#endif
}
