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
   Where several classes have target weights q, dL/da is s f(x) - q, and both terms may be alike in
   many digits. There e, q and all factors are in two parts, to about 2**-70. What is closer than
   that can tell is computed again with twice the digits of a double (Dekker, A floating-point
   technique for extending the available precision, 1971), and a row in which even that is not
   enough is left. Results of float do without the second parts: only terms that are within 2**-24
   of one another are computed again, or 2**-18 with a cap.

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

/* Vectors that begin a line of the cache lie in one. */
#define ALIGNED __attribute__((aligned(64)))

/* What a loop writes, it does not read. */
#ifdef __clang__
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#define SHORT
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#define SHORT _Pragma("GCC unroll 1") /* Unrolled, it would have more numbers than registers. */
#endif

enum {
    GAIN = 400,   /* The power of two that all e are multiplied by. */
    TILE = 2048,  /* Logits whose exponentials stay in the nearest cache. */
    ROWS = 64,    /* Rows that are computed together, at most. */
    NARROW = 64,  /* Up to so many classes sums are made of several rows at a time. */
    LONG = 512,   /* From so many classes on a row is summed as it is computed. */
    LANES = 4,    /* Numbers that are summed side by side. */
    VECTORS = 4,  /* Wide numbers of a long row that are summed side by side. */
    SIDES = 8 * VECTORS,
    PIECE = 64,   /* Logits between two looks ahead at what memory will be needed. */
    AHEAD = 1024, /* How many numbers ahead that is in a long row of results. */
    LINE = 64,    /* Bytes of memory that come together. */
};

/* The arrays in memory: e, d and q, what rounding took from each, the terms of a sum, and the
   derivatives of a cap. */
enum { E, E_ERROR, D, D_ERROR, Q, Q_ERROR, TERMS, SLOPES, ARRAYS };

/* A number in two parts, x + lost, the second at most half a unit in the last place of the first. */
typedef struct {
    double x, lost;
} Two;

typedef double Lanes __attribute__((vector_size(LANES * sizeof(double))));
typedef double Wide __attribute__((vector_size(2 * LANES * sizeof(double))));
typedef int64_t WidePlaces __attribute__((vector_size(2 * LANES * sizeof(int64_t))));
typedef int64_t Places __attribute__((vector_size(LANES * sizeof(int64_t))));

/* Arrays are where NumPy has them, which for mapped files may be anywhere. */
typedef double Double __attribute__((aligned(1)));
typedef float Float __attribute__((aligned(1)));
typedef ptrdiff_t Index __attribute__((aligned(1)));

/* Rows of usual size, by their sums (times 2**GAIN), their shares or weights (times 2**600)
   and T: any two sums have a quotient, what is multiplied or divided by another has all its digits,
   and an e that is too small for float64 gives an f(x) that is 0 also when it is multiplied by a
   weight and divided by T. */
static const double SMALLEST_SUM = 0x1p256, LARGEST_SUM = 0x1p880;
static const double SMALLEST_D = -332.0; /* That of SMALLEST_E_Y. */
static const double SMALLEST_E_Y = 0x1p-80, SMALLEST_REST = 0x1p-496, SMALLEST_RATIO = 0x1p-900;
static const double SMALLEST_WEIGHT = 0x1p-100, LARGEST_WEIGHT = 0x1p100;
static const double SMALLEST_T = 0x1p-40, LARGEST_T = 0x1p40;

/* A cap that is larger, by T, shows the bits that were lost of it. */
static const double STEEPEST_CAP = 0x1p10;

/* exp of all below is as good as 0 beside SMALLEST_SUM and SMALLEST_REST. */
static const double LOWEST = -985.0;

/* Beyond this |a| / cap the derivative of a cap may be too small for float64. */
static const double LARGEST_OF_CAP = 340.0;

static const double LN2 = 0x1.62e42fefa3800p-1, LN2_TAIL = 0x1.ef35793c76730p-45;
static const double LN2_MIDDLE = 0x1.ef35793c76000p-45, LN2_LAST = 0x1.cc01f97b57a08p-87;

/* log(2) / 16, in two parts, and the powers of 2**(1 / 16). */
static const double STEP = 0x1.62e42fefa0000p-5, STEP_TAIL = 0x1.cf79abc9e3b3ap-44;
static const double POWERS[16] = {
    0x1.0000000000000p+0, 0x1.0b5586cf9890fp+0, 0x1.172b83c7d517bp+0, 0x1.2387a6e756238p+0,
    0x1.306fe0a31b715p+0, 0x1.3dea64c123422p+0, 0x1.4bfdad5362a27p+0, 0x1.5ab07dd485429p+0,
    0x1.6a09e667f3bcdp+0, 0x1.7a11473eb0187p+0, 0x1.8ace5422aa0dbp+0, 0x1.9c49182a3f090p+0,
    0x1.ae89f995ad3adp+0, 0x1.c199bdd85529cp+0, 0x1.d5818dcfba487p+0, 0x1.ea4afa2a490dap+0,
};
static const double POWER_ERRORS[16] = {
    0x0.0000000000000p+0,   0x1.8a62e4adc610bp-54,  -0x1.19041b9d78a76p-55, 0x1.9b07eb6c70573p-54,
    0x1.6f46ad23182e4p-55,  0x1.ada0911f09ebcp-55,  0x1.d4397afec42e2p-56,  0x1.6324c054647adp-54,
    -0x1.bdd3413b26456p-54, -0x1.41577ee04992fp-55, 0x1.6e9f156864b27p-54,  0x1.c7c46b071f2bep-56,
    0x1.7a1cd345dcc81p-54,  0x1.11065895048ddp-55,  0x1.2ed02d75b3707p-55,  -0x1.e9c23179c2893p-54,
};

static const double LOG2_E = 0x1.71547652b82fep0, SQRT_HALF = 0x1.6a09e667f3bcdp-1;

/* What is computed of a tile of rows. `one` is the class that rests leave out: that of the label y,
   or the most probable one, where several classes have target weights q. */
typedef struct {
    ptrdiff_t y[ROWS], one[ROWS];
    double inverse_t[ROWS], inverse_t_error[ROWS]; /* 1 / T */
    double share[ROWS], share_error[ROWS];         /* What is in q: m / D beside a z-loss, or 1. */
    double outer[ROWS];                            /* What is not: 1 beside a z-loss, or m / D. */
    double by_t[ROWS], by_t_error[ROWS];           /* That over T. */
    double kept[ROWS], kept_error[ROWS];           /* 1 less the smoothing. */
    double classes[ROWS];                          /* K */
    double part[ROWS], part_error[ROWS];           /* The smoothing over K. */
    double z[ROWS], z_error[ROWS]; /* The weight of the z-loss; NaN for a row that is left. */
    double limit[ROWS];         /* How close the terms of a derivative may come, by q. */
    double close[ROWS];         /* That with what log S has lost. */
    double least[ROWS];         /* Below this, the sum and the slope of a z-loss have cancelled. */
    double most[ROWS];          /* The largest e of a long row. */
    double lost[ROWS];          /* The sum of what its e have lost. */
    double e_one[ROWS], e_one_error[ROWS], rest[ROWS], rest_error[ROWS];
    double total[ROWS], total_error[ROWS];
    double inverse[ROWS], inverse_error[ROWS];     /* 1 / S */
    double q_label[ROWS], q_label_error[ROWS];     /* q of y, if classes have no weights. */
    double q_y[ROWS], q_y_error[ROWS];             /* q of y, as it is. */
    double q_other[ROWS], q_other_error[ROWS];     /* That of the others where all have the same. */
    double q_one[ROWS], q_one_error[ROWS];         /* q of `one`. */
    double others[ROWS], others_error[ROWS], sum[ROWS]; /* The sums of the others, and of all. */
    double log_total[ROWS], z_loss[ROWS];          /* log S, and the z-loss. */
    double slope[ROWS], slope_error[ROWS];         /* The derivative of the z-loss by that. */
    double factor[ROWS], factor_error[ROWS];       /* (s + slope) / T / S, with the sum s of q. */
    double costs[ROWS], costs_error[ROWS];         /* The sum of q_c (d_one - d_c). */
    double usual[ROWS];   /* NaN for a row whose factors are not of usual size. */
    uint64_t flags[ROWS]; /* The first bit is set where terms came too close. */
} Tile;

/* The sums of a long row, side by side: of all e but the largest of each side, of what they have
   lost, and of d. Results of float do without the errors. */
typedef struct {
    Wide rest[VECTORS], error[VECTORS], most[VECTORS], lost[VECTORS];
    Wide d[VECTORS], d_error[VECTORS], d_lost[VECTORS];
} Sides;

/* A number for each row, at a distance of `step` numbers, or for all of them if that is 0. */
typedef struct {
    const void *at; /* NULL where there are none. */
    ptrdiff_t step;
} Numbers;

/* What is to be computed. Results but losses have the type of the logits, float or double. What is
   NULL is not wanted. */
typedef struct {
    const void *logits;           /* (N, C) */
    const volatile Index *labels; /* (N,): each is read once, others might write to them. */
    ptrdiff_t rows, columns;      /* N and C */
    Numbers targets;              /* t, of shape (N, C), of float or double. */
    Numbers class_weights;        /* w, of shape (N, C) */
    Numbers smoothing, scale, divisor, temperature, softcap, z_scale, z_divisor; /* double */
    Numbers counted;              /* unsigned char: 0 for a row that is ignored. */
    Numbers num_classes;          /* Index: columns from there on are padding. */
    void *probs;                  /* (N, C) */
    double *loss;                 /* (N,) */
    double *z_loss;               /* (N,) */
    void *grad_probs;             /* (N, C), zeros: what is not 0 is filled in. */
    void *grad_logits;            /* (N, C) */
    double *memory;               /* ARRAYS times C numbers, or TILE where that is more, each rounded
                                     up to whole pieces and one more, and a line. */
    ptrdiff_t are_float;          /* Whether the targets are. */
    unsigned char *left; /* (N,): 1 is written for a row that is left, whose results are nothing, and
                            2 for one that needs more digits. */
} Task;

/* Add to a sum in two parts (the two-sum of Knuth, The Art of Computer Programming, vol. 2, 4.2.2).
 */
#define ADD(sum, error, term)                                                           \
    do {                                                                                \
        const __typeof__(sum) x_ = (term), total_ = (sum) + x_, of_x_ = total_ - (sum); \
        (error) += ((sum) - (total_ - of_x_)) + (x_ - of_x_);                           \
        (sum) = total_;                                                                 \
    } while (0)

/* Choose numbers of two vectors by a mask. */
#define CHOSEN(mask, x, y) \
    (__typeof__(x))(((mask) & (__typeof__(mask))(x)) | (~(mask) & (__typeof__(mask))(y)))

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

/* Split a + a_error into k log 2 and upper + tail, of at most log(2) / 2. Return the exponent that a
   double has for 2**(k + GAIN).

   Adding 1.5 * 2**52 rounds to a whole number, which is then in the last bits: here that exponent,
   from 1 to 2046. exp(LOWEST) 2**GAIN stands for all below, and with the largest k, all above is
   larger than LARGEST_SUM. */
INLINE uint64_t split(double a, double a_error, double *upper, double *tail)
{
    const double shift = 0x1.8p52 + 1023 + GAIN;
    const int64_t largest = (int64_t)bits_of(0x1.8p52 + 2046);
    a = a < LOWEST ? LOWEST : a;
    const int64_t whole = (int64_t)bits_of(fma(a, LOG2_E, shift));
    const uint64_t exponent = (uint64_t)(whole < largest ? whole : largest);
    const double k = of_bits(exponent) - shift;
    *upper = fma(-k, LN2, a);
    *tail = fma(-k, LN2_TAIL, a_error);
    return exponent;
}

/* Return exp(upper + tail) 2**k of such parts, to 0.7 units in the last place.

   exp(r) = 1 + r + r**2 q(r), with q interpolated at the nodes of Chebyshev to 0.003 units. What
   1 + r is rounded to is made good by what is added last. */
INLINE double joined(double upper, double tail, uint64_t exponent)
{
    const double r = upper + tail, square = r * r;
    const double one = 1.0 + upper, lower = (upper - (one - 1.0)) + tail;
    double q = fma(0x1.1f730349868cep-29, r, 0x1.af4de97ca4194p-26);
    q = fma(q, square, fma(0x1.27e4db646b17ep-22, r, 0x1.71de0231960ebp-19));
    q = fma(q, square, fma(0x1.a01a01a6d889cp-16, r, 0x1.a01a01abe7fe1p-13));
    q = fma(q, square, fma(0x1.6c16c16c162d4p-10, r, 0x1.11111111100dcp-7));
    q = fma(q, square, fma(0x1.5555555555556p-5, r, 0x1.5555555555557p-3));
    q = fma(q, r, 0.5);
    return (one + fma(square, q, lower)) * of_bits(exponent << 52);
}

/* Return exp(a) 2**GAIN, for a up to 0; NaN for NaN. */
INLINE double exponential(double a)
{
    double upper, tail;
    const uint64_t exponent = split(a, 0.0, &upper, &tail);
    return joined(upper, tail, exponent);
}

/* Split a + a_error into k log(2) / 16 and upper + tail, of at most log(2) / 32. Return a number
   whose last four bits are those of k, and whose next ones are the exponent as above. */
INLINE uint64_t split_finely(double a, double a_error, double *upper, double *tail)
{
    const double shift = 0x1.8p52 + 16 * (1023 + GAIN);
    const int64_t largest = (int64_t)bits_of(0x1.8p52 + 16 * 2046);
    a = a < LOWEST ? LOWEST : a;
    const int64_t whole = (int64_t)bits_of(fma(a, 16.0 * LOG2_E, shift));
    const uint64_t number = (uint64_t)(whole < largest ? whole : largest);
    const double k = of_bits(number) - shift;
    *upper = fma(-k, STEP, a);
    *tail = fma(-k, STEP_TAIL, a_error);
    return number;
}

/* Return exp(upper + tail) 2**(k / 16) of such parts, in two parts itself, to 2**-69.7, for a power
   of 2**(1 / 16) in two parts.

   exp(r) = 1 + r + r**2 / 2 + r**3 q(r), where all terms but the last are in two parts, and q is
   interpolated at the nodes of Chebyshev. The last is at most 2**-19. */
INLINE Two joined_in_parts(double upper, double tail, double power, double power_error,
                           uint64_t number)
{
    const double r = upper + tail, r_error = (upper - r) + tail, r_by_r = r * r;
    const double half = 0.5 * r, square = half * r;
    const double square_error = fma(half, r, -square) + r * r_error;
    double q = fma(0x1.a01afae90656ap-16, r, 0x1.a01a019fee5dep-13);
    q = fma(0x1.71deefa1b3196p-19, r_by_r, q);
    q = fma(q, r_by_r, fma(0x1.6c16c16bdac03p-10, r, 0x1.1111111111111p-7));
    q = fma(q, r_by_r, fma(0x1.5555555555556p-5, r, 0x1.5555555555555p-3));
    const double cubic = r_by_r * r * q, second = square + cubic, x = r + second;
    const double x_error =
        ((r - x) + second) + (((square - second) + cubic) + (square_error + r_error));
    const double part = power * x, e = power + part, scale = of_bits(number >> 4 << 52);
    const double part_error =
        fma(power, x, -part) + fma(power, x_error, fma(power_error, x, power_error));
    return (Two){e * scale, (((power - e) + part) + part_error) * scale};
}

/* Return a number and a smaller one as the two parts of their sum. */
INLINE Two parts(double x, double small)
{
    const double sum = x + small;
    return (Two){sum, (x - sum) + small};
}

static const double SIXTH = 0x1.5555555555555p-3, SIXTH_TAIL = 0x1.5555555555555p-57;

/* Return exp(r + r_error) - 1, to 2**-65, for |r| <= log(2) / 2: r + r**2 / 2 + r**3 / 6 + r**4 / 24
   + r**5 q(r), where all terms but the last are in two parts, and q is interpolated at the nodes of
   Chebyshev. */
INLINE Two exp_less_one(double r, double r_error)
{
    const double square = r * r, square_error = fma(r, r, -square), half = 0.5 * square;
    double q = 0x1.9418abab37fcbp-37;
    q = fma(q, r, 0x1.61a5c4fe0af61p-33);
    q = fma(q, r, 0x1.1eed81652616fp-29);
    q = fma(q, r, 0x1.ae643b49c9e32p-26);
    q = fma(q, r, 0x1.27e4fb78b4d21p-22);
    q = fma(q, r, 0x1.71de3a57c23dap-19);
    q = fma(q, r, 0x1.a01a01a019efbp-16);
    q = fma(q, r, 0x1.a01a01a019ddbp-13);
    q = fma(q, r, 0x1.6c16c16c16c17p-10);
    q = fma(q, r, 0x1.1111111111111p-7);
    const double cube = square * r, third = SIXTH * cube;
    const double cube_error = fma(square, r, -cube) + square_error * r;
    const double third_error = fma(SIXTH, cube, -third) + fma(SIXTH_TAIL, cube, SIXTH * cube_error);
    const double power = square * square, fourth = 0.25 * SIXTH * power;
    const double power_error = fma(square, square, -power) + 2.0 * square * square_error;
    const double fourth_error = fma(0.25 * SIXTH, power, -fourth) +
                                0.25 * fma(SIXTH_TAIL, power, SIXTH * power_error);
    const double fifth = power * r * q, last = fourth + fifth, next = third + last;
    const double second = half + next, head = r + second;
    const double tail = ((r - head) + second) + (((half - second) + next) + ((third - next) + last)) +
                        ((((fourth - last) + fifth) + fourth_error) + third_error) +
                        fma(0.5, square_error, fma(r_error, head, r_error));
    return (Two){head, tail};
}

/* Return cap tanh(a / cap) to about twelve more bits than float64 has, the rest of them in `lost`,
   and its derivative in `slope`; NaN where |a| / cap is too large. `factor` is -2 / cap, in two
   parts.

   With e = exp(-2 |a| / cap), the result is cap (1 - e) / (1 + e), and its derivative is 4 e /
   (1 + e)**2, in which nothing cancels. */
INLINE double capped(double a, double cap, double factor, double factor_error, double *lost,
                     double *slope)
{
    const double shift = 0x1.8p52 + 1023, size = fabs(a), x = size * factor;
    const double x_error = fma(size, factor, -x) + size * factor_error;
    const double by_unit = fma(x, LOG2_E, shift), k = by_unit - shift;
    const double upper = fma(-k, LN2, x), lower = fma(-k, LN2_TAIL, x_error);
    const double r = upper + lower;
    const Two head = exp_less_one(r, (upper - r) + lower);
    const double power = of_bits(bits_of(by_unit) << 52), part = power * head.x;
    const double e = power + part, e_error = ((power - e) + part) + power * head.lost;
    const double whole = 1.0 - power, over = whole - part;
    const double over_error =
        (((whole - over) - part) + ((1.0 - whole) - power)) - power * head.lost;
    const double under = 1.0 + e, under_error = ((1.0 - under) + e) + e_error;
    const double inverse = 1.0 / under, tanh = over * inverse;
    const double tanh_error =
        (fma(-tanh, under, over) + fma(-tanh, under_error, over_error)) * inverse;
    const double squared = 4.0 * inverse * inverse, derivative = e * squared;
    const double derivative_error =
        fma(squared, e_error,
            2.0 * derivative * (fma(-inverse, under, 1.0) - inverse * under_error));
    const double limit = copysign(cap, a), z = limit * tanh;
    const int is_usual = x >= -2.0 * LARGEST_OF_CAP;
    *lost = is_usual ? fma(limit, tanh, -z) + limit * tanh_error : 0.0;
    *slope = is_usual ? derivative + derivative_error : 0.0;
    return is_usual ? z : a == -INFINITY ? a : NAN;
}

/* The same, to a few last places of the cap: results of float do not show more. */
INLINE double capped_for_float(double a, double cap, double factor, double *slope)
{
    const double x = fabs(a) * factor, e = exponential(x) * (1.0 / 0x1p400);
    const double inverse = 1.0 / (1.0 + e), z = copysign(cap, a) * ((1.0 - e) * inverse);
    const int is_usual = x >= -2.0 * LARGEST_OF_CAP;
    *slope = is_usual ? 4.0 * e * inverse * inverse : 0.0;
    return is_usual ? z : a == -INFINITY ? a : NAN;
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
INLINE Two log_of_total(double x, double x_error)
{
    const int64_t exponent = (int64_t)(bits_of(x) - bits_of(SQRT_HALF)) >> 52;
    const double k = (double)(exponent - GAIN), whole = k * LN2; /* Exact. */
    const double f = of_bits(bits_of(x) - ((uint64_t)exponent << 52)) - 1.0;
    const double log = log_of_parts(0.0, f, fma(k, LN2_TAIL, x_error / x)), sum = whole + log;
    return (Two){sum, k == 0.0 ? 0.0 : (whole - sum) + log};
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

/* Return a factor of usual size, or NaN. */
INLINE double above_zero(double x)
{
    return (x >= SMALLEST_WEIGHT) & (x <= LARGEST_WEIGHT) ? x : NAN;
}

/* The same, or 0. */
INLINE double usual(double x)
{
    return x == 0.0 ? 0.0 : above_zero(x);
}

/* The same of a target, whose sum shows whether it is too large. */
INLINE double usual_target(double x)
{
    const double positive = x >= SMALLEST_WEIGHT ? x : NAN;
    return x == 0.0 ? 0.0 : positive;
}

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
INLINE void sum_narrow(const double *numbers, ptrdiff_t rows, ptrdiff_t columns, double *sums,
                       double *errors)
{
    ptrdiff_t row = 0;
    for (; row + 2 * LANES <= rows; row += 2 * LANES) {
        Lanes sum[2] = {{0}}, error[2] = {{0}};
        for (const double *at = numbers + row * columns, *end = at + columns; at < end; at++) {
            const double *const on = at + LANES * columns;
            const Lanes first = {at[0], at[columns], at[2 * columns], at[3 * columns]};
            const Lanes second = {on[0], on[columns], on[2 * columns], on[3 * columns]};
            ADD(sum[0], error[0], first);
            ADD(sum[1], error[1], second);
        }
        memcpy(sums + row, sum, sizeof sum);
        memcpy(errors + row, error, sizeof error);
    }
    for (; row < rows; row++) {
        sums[row] = errors[row] = 0.0;
        for (ptrdiff_t c = 0; c < columns; c++)
            ADD(sums[row], errors[row], numbers[row * columns + c]);
    }
}

/* Sum one row of many classes, in two sums of so many lanes. */
INLINE void sum_wide(const double *numbers, ptrdiff_t count, double *total, double *total_error)
{
    Wide sums[2] = {{0}}, errors[2] = {{0}}, terms[2];
    double sum = 0.0, error = 0.0;
    ptrdiff_t c = 0;
    for (; c + 4 * LANES <= count; c += 4 * LANES) {
        memcpy(terms, numbers + c, sizeof terms);
        ADD(sums[0], errors[0], terms[0]);
        ADD(sums[1], errors[1], terms[1]);
    }
    for (; c < count; c++)
        ADD(sum, error, numbers[c]);
    ADD(sums[0], errors[0], sums[1]);
    errors[0] += errors[1];
    for (int lane = 0; lane < 2 * LANES; lane++) {
        error += errors[0][lane];
        ADD(sum, error, sums[0][lane]);
    }
    *total = sum;
    *total_error = error;
}

/* Sum the numbers of each row. */
INLINE void sum_rows(const double *numbers, ptrdiff_t rows, ptrdiff_t columns, double *sums,
                     double *errors)
{
    if (columns <= NARROW)
        sum_narrow(numbers, rows, columns, sums, errors);
    else
        for (ptrdiff_t row = 0; row < rows; row++)
            sum_wide(numbers + row * columns, columns, &sums[row], &errors[row]);
}

/* The same without the number of one class, which is returned in `kept`. */
INLINE void sum_others(double *numbers, ptrdiff_t rows, ptrdiff_t columns, const ptrdiff_t *one,
                       double *kept, double *sums, double *errors)
{
    for (ptrdiff_t row = 0; row < rows; row++) {
        kept[row] = numbers[row * columns + one[row]];
        numbers[row * columns + one[row]] = 0.0;
    }
    sum_rows(numbers, rows, columns, sums, errors);
    for (ptrdiff_t row = 0; row < rows; row++)
        numbers[row * columns + one[row]] = kept[row];
}

/* Return where the first of the largest numbers is, if none is NaN. */
INLINE ptrdiff_t largest_of(const double *numbers, ptrdiff_t count)
{
    const ptrdiff_t width = 4 * LANES;
    ptrdiff_t i = width, at = 0;
    double most = numbers[0];
    if (count >= width) {
        Wide best[2], next[2];
        WidePlaces where[2] = {{0}};
        memcpy(best, numbers, sizeof best);
        for (; i + width <= count; i += width) {
            memcpy(next, numbers + i, sizeof next);
            for (int k = 0; k < 2; k++) {
                const WidePlaces is_larger = next[k] > best[k];
                where[k] = CHOSEN(is_larger, (WidePlaces){0} + i, where[k]);
                best[k] = CHOSEN(is_larger, next[k], best[k]);
            }
        }
        for (int lane = 0; lane < width; lane++) {
            const double x = best[lane / (2 * LANES)][lane % (2 * LANES)];
            const ptrdiff_t place = where[lane / (2 * LANES)][lane % (2 * LANES)] + lane;
            at = x > most || (x == most && place < at) ? place : at;
            most = x > most ? x : most;
        }
    }
    for (i = count >= width ? i : 1; i < count; i++) {
        at = numbers[i] > most ? i : at;
        most = numbers[i] > most ? numbers[i] : most;
    }
    return at;
}

static const double ONE = 1.0, ZERO = 0.0;

/* Return numbers, or the same one for all rows if there are none. */
INLINE Numbers or_else(Numbers numbers, const double *otherwise)
{
    return numbers.at ? numbers : (Numbers){otherwise, 0};
}

/* Return the number of a row. */
INLINE double number_of(Numbers numbers, ptrdiff_t row)
{
    return ((const Double *)numbers.at)[row * numbers.step];
}

/* Return one of the arrays in memory, each for a tile or a long row. */
INLINE double *array_of(const Task *task, int which)
{
    const ptrdiff_t size = task->columns > TILE ? task->columns : TILE;
    return task->memory + which * ((size + 2 * PIECE - 1) / PIECE * PIECE);
}

/* Return how many columns of a row are classes. */
INLINE ptrdiff_t classes_of(const Task *task, ptrdiff_t row)
{
    const Numbers counts = task->num_classes;
    return counts.at ? ((const Index *)counts.at)[row * counts.step] : task->columns;
}

/* Return whether the softmax takes something else than the logits. */
INLINE int is_scaled(const Task *task)
{
    return task->temperature.at || task->softcap.at;
}

/* Return whether other classes than that of the label have target weights. */
INLINE int is_spread(const Task *task)
{
    return task->targets.at || task->smoothing.at;
}

/* Return whether a row is summed as it is computed, piece by piece, and not afterwards: that takes
   less time where there is more to be summed than e, and in rows of many classes. */
INLINE int is_long(const Task *task)
{
    return task->columns >= (is_spread(task) ? LONG : 2 * LONG);
}

/* Return whether the target weights need an array: else those of other classes than y are alike. */
INLINE int has_array(const Task *task)
{
    return task->targets.at || (task->smoothing.at && task->class_weights.at);
}

/* Return whether target weights have been rounded: else they are the targets themselves. */
INLINE int has_lost(const Task *task)
{
    return task->smoothing.at || task->class_weights.at || task->z_scale.at;
}

/* Return whether losses are those of labels alone. */
INLINE int is_plain(const Task *task)
{
    return !task->class_weights.at && !task->scale.at && !task->divisor.at && !task->z_scale.at;
}

/* The same, and the softmax is that of the logits. */
INLINE int is_bare(const Task *task)
{
    return is_plain(task) && !is_scaled(task) && !is_spread(task);
}

/* Return whether e are computed in two parts: where s f(x) is close to q, both have to be exact. */
INLINE int in_parts(const Task *task, int is_float)
{
    return is_spread(task) && !is_float;
}

/* Return whether d are in two parts: a cap for results of float is not exact enough for that. */
INLINE int has_d_error(const Task *task, int is_float)
{
    return is_scaled(task) && !(task->softcap.at && is_float);
}

/* Return the target weight w (kept t + part) share. */
INLINE Two weight(double t, Two kept, Two part, double w, Two share)
{
    const double x = kept.x * t, x_error = fma(kept.x, t, -x) + kept.lost * t;
    double sum = x, error = x_error + part.lost;
    ADD(sum, error, part.x);
    const double by_w = usual(sum) * usual(w), by_w_error = fma(sum, w, -by_w) + error * w;
    const double q = by_w * share.x;
    const double lost = fma(by_w, share.x, -q) + (by_w * share.lost + by_w_error * share.x);
    return parts(usual(q), lost);
}

/* Return whether all rows have the same factors. */
INLINE int are_alike(const Task *task)
{
    return !(task->smoothing.step | task->scale.step | task->divisor.step | task->temperature.step |
             task->softcap.step | task->z_scale.step | task->z_divisor.step |
             task->num_classes.step);
}

/* Return x / y in two parts. */
INLINE Two ratio(double x, double y)
{
    const double whole = x / y;
    return (Two){whole, fma(-whole, y, x) / y};
}

/* Compute the factors of some rows, and target weights where classes have no weights. */
INLINE void factors(const Task *task, ptrdiff_t start, ptrdiff_t rows, Tile *tile, int is_float)
{
    const Numbers scales = or_else(task->scale, &ONE), divisors = or_else(task->divisor, &ONE);
    const Numbers zs = or_else(task->z_scale, &ZERO), z_divisors = or_else(task->z_divisor, &ONE);
    const Numbers ts = or_else(task->temperature, &ONE), caps = or_else(task->softcap, &ONE);
    const Numbers smoothings = or_else(task->smoothing, &ZERO);
    const int has_z = task->z_scale.at != NULL;
    for (ptrdiff_t row = 0; row < rows; row++) {
        const ptrdiff_t at = start + row;
        const double t = number_of(ts, at), cap = number_of(caps, at);
        const double scale = number_of(scales, at);
        const double divisor = number_of(divisors, at), z_divisor = number_of(z_divisors, at);
        const double zeta = number_of(zs, at), by_scale = zeta * scale;
        const double z = usual(by_scale / z_divisor);
        const double z_error =
            (fma(-z, z_divisor, by_scale) + fma(zeta, scale, -by_scale)) / z_divisor;
        const int is_usual = (t >= SMALLEST_T) & (t <= LARGEST_T) & (above_zero(cap) == cap) &
                             (!task->softcap.at | (cap <= STEEPEST_CAP * t));
        const Two inverse_t = ratio(1.0, t), by_d = ratio(scale, divisor);
        /* The mean of no rows has gradients of 0. */
        const double share = divisor == 0.0 ? 0.0 : above_zero(by_d.x);
        const double lost = divisor == 0.0 ? 0.0 : by_d.lost, by_t = share * inverse_t.x;
        tile->inverse_t[row] = inverse_t.x;
        tile->inverse_t_error[row] = inverse_t.lost;
        tile->share[row] = has_z ? share : 1.0;
        tile->share_error[row] = has_z ? lost : 0.0;
        tile->outer[row] = has_z ? 1.0 : share;
        tile->by_t[row] = has_z ? inverse_t.x : by_t;
        tile->by_t_error[row] =
            has_z ? inverse_t.lost
                  : fma(share, inverse_t.x, -by_t) + (share * inverse_t.lost + lost * inverse_t.x);
        tile->z[row] = !is_usual ? NAN : z_divisor == 0.0 ? 0.0 : z;
        tile->z_error[row] = z_divisor == 0.0 ? 0.0 : z_error;
        const double steep = task->softcap.at ? 0x1p-12 * cap * inverse_t.x : 0.0;
        const double of_float = task->softcap.at ? 0x1p-18 + 0x1p-12 * steep : 0x1p-24;
        tile->limit[row] = is_float             ? of_float
                           : !is_spread(task)   ? 0.75
                           : 0x1p-17 + steep < 1 ? 0x1p-17 + steep
                                                : 1.0;
        tile->flags[row] = 0;
    }
    for (ptrdiff_t row = 0; row < rows; row++)
        tile->classes[row] = (double)classes_of(task, start + row);
    for (ptrdiff_t row = 0; row < rows; row++) {
        const double smoothing = usual(number_of(smoothings, start + row));
        const Two part = ratio(smoothing, tile->classes[row]), kept = parts(1.0, -smoothing);
        const Two share = {tile->share[row], tile->share_error[row]};
        const Two label = weight(1.0, kept, part, 1.0, share);
        const Two other = weight(0.0, kept, part, 1.0, share);
        tile->kept[row] = kept.x;
        tile->kept_error[row] = kept.lost;
        tile->part[row] = part.x;
        tile->part_error[row] = part.lost;
        tile->q_label[row] = label.x;
        tile->q_label_error[row] = label.lost;
        tile->q_other[row] = other.x;
        tile->q_other_error[row] = other.lost;
    }
}

/* Compute d = cap tanh(a / cap) / T in two parts, and the derivatives of the cap. What the first
   part has lost is not seen in results of float. */
INLINE void cap_logits(const Task *task, ptrdiff_t from, ptrdiff_t at, ptrdiff_t count,
                       double inverse_t, double inverse_t_error, double cap, int is_float)
{
    double *const d = array_of(task, D) + at, *const d_error = array_of(task, D_ERROR) + at;
    double *const slopes = array_of(task, SLOPES) + at, lost, factor_error;
    const double factor = -2.0 * inverse_of(cap, 0.0, &factor_error);
    INDEPENDENT
    for (ptrdiff_t i = 0; i < count; i++) {
        const double a = get(task->logits, from + i, is_float);
        const double z = is_float
                             ? capped_for_float(a, cap, factor, &slopes[i])
                             : capped(a, cap, factor, -2.0 * factor_error, &lost, &slopes[i]);
        d[i] = z * inverse_t;
        if (!is_float)
            d_error[i] = fma(z, inverse_t, -d[i]) + fma(z, inverse_t_error, lost * inverse_t);
    }
}

/* Look numbers up in a table of 16, by their last four bits. */
INLINE void look_up(const double *table, const uint64_t *numbers, double *to)
{
#ifdef __clang__
    for (ptrdiff_t i = 0; i < PIECE; i++)
        to[i] = table[numbers[i] & 15];
#else
    /* Some processors have one instruction for this. */
    Wide halves[2];
    memcpy(halves, table, sizeof halves);
    for (ptrdiff_t i = 0; i < PIECE; i += 2 * LANES) {
        WidePlaces at;
        memcpy(&at, numbers + i, sizeof at);
        const Wide found = __builtin_shuffle(halves[0], halves[1], at);
        memcpy(to + i, &found, sizeof found);
    }
#endif
}

/* What is computed of a piece: e of a, which are of float if `is_float`, and their sums if there are
   `sides`, for results of float if `for_float`. */
typedef struct {
    const void *a;
    const double *a_error;
    double *e, *e_error;
    Sides *sides;
    int is_float, for_float;
} Piece;

/* Return numbers side by side. */
INLINE Wide wide(const void *numbers, ptrdiff_t at, int is_float)
{
    const Float *const from = (const Float *)numbers + at;
    Wide x;
    if (is_float)
        return (Wide){from[0], from[1], from[2], from[3], from[4], from[5], from[6], from[7]};
    memcpy(&x, (const Double *)numbers + at, sizeof x);
    return x;
}

/* Return numbers, or NaN where a mask is set: all bits set are one. */
INLINE Wide nan_if(WidePlaces mask, Wide x)
{
    return (Wide)((WidePlaces)x | mask);
}

/* Add to a sum in two parts, or in one where results of float cannot show the second. */
#define ADD_FOR(is_float, sum, error, term) \
    do {                                    \
        if (is_float)                       \
            (sum) += (term);                \
        else                                \
            ADD(sum, error, term);          \
    } while (0)

/* Add what the numbers of a piece have lost to the sums of a row. */
INLINE void add_lost(Wide *sums, const double *lost, ptrdiff_t count)
{
    Wide sum[VECTORS];
    memcpy(sum, sums, sizeof sum);
    for (ptrdiff_t i = 0; i < count; i += SIDES)
        for (int k = 0; k < VECTORS; k++)
            sum[k] += wide(lost, i + 8 * k, 0);
    memcpy(sums, sum, sizeof sum);
}

/* Add e of a piece to the sums of a row, which keep all their digits without the largest. */
INLINE void sum_side_by_side(const Piece piece, ptrdiff_t count)
{
    Wide rest[VECTORS], error[VECTORS], most[VECTORS];
    memcpy(rest, piece.sides->rest, sizeof rest);
    memcpy(error, piece.sides->error, sizeof error);
    memcpy(most, piece.sides->most, sizeof most);
    for (ptrdiff_t i = 0; i < count; i += SIDES)
        for (int k = 0; k < VECTORS; k += 2) {
            const Wide e = wide(piece.e, i + 8 * k, 0), next = wide(piece.e, i + 8 * k + 8, 0);
            const WidePlaces is_more = e > most[k], is_next_more = next > most[k + 1];
            const Wide less = CHOSEN(is_more, most[k], e);
            const Wide next_less = CHOSEN(is_next_more, most[k + 1], next);
            if (piece.for_float) {
                ADD(rest[k], error[k], less + next_less);
            } else {
                ADD(rest[k], error[k], less);
                ADD(rest[k + 1], error[k + 1], next_less);
            }
            most[k] = CHOSEN(is_more, e, most[k]);
            most[k + 1] = CHOSEN(is_next_more, next, most[k + 1]);
        }
    memcpy(piece.sides->rest, rest, sizeof rest);
    memcpy(piece.sides->error, error, sizeof error);
    memcpy(piece.sides->most, most, sizeof most);
    if (piece.e_error)
        add_lost(piece.sides->lost, piece.e_error, count);
}

/* Add d of a piece to the sums of a row; NaN, as all bits set are, where one is too low. */
INLINE void sum_d_side_by_side(const Piece piece, ptrdiff_t count)
{
    Wide sum[VECTORS], error[VECTORS];
    memcpy(sum, piece.sides->d, sizeof sum);
    memcpy(error, piece.sides->d_error, sizeof error);
    for (ptrdiff_t i = 0; i < count; i += SIDES)
        for (int k = 0; k < VECTORS; k++) {
            const Wide d = wide(piece.a, i + 8 * k, piece.is_float);
            ADD_FOR(piece.for_float, sum[k], error[k], nan_if(d < SMALLEST_D, d));
        }
    memcpy(piece.sides->d, sum, sizeof sum);
    memcpy(piece.sides->d_error, error, sizeof error);
    if (piece.a_error)
        add_lost(piece.sides->d_lost, piece.a_error, count);
}

/* Compute e of a piece of so many logits. */
INLINE void exponentials(const Piece piece, ptrdiff_t count)
{
    INDEPENDENT
    for (ptrdiff_t i = 0; i < count; i++) {
        const double x = get(piece.a, i, piece.is_float);
        const double error = piece.a_error && x > LOWEST ? piece.a_error[i] : 0.0;
        double upper, tail;
        const uint64_t exponent = split(x, error, &upper, &tail);
        piece.e[i] = joined(upper, tail, exponent);
    }
    if (piece.sides)
        sum_side_by_side(piece, count);
}

/* The same in two parts. Such an e has a long way from its logit, and a processor looks a few dozen
   operations ahead: in short loops it has more of them at a time. */
INLINE void exponentials_in_parts(const Piece piece, ptrdiff_t count)
{
    ALIGNED double upper[PIECE], tail[PIECE], powers[PIECE], errors[PIECE];
    ALIGNED uint64_t numbers[PIECE];
    INDEPENDENT SHORT
    for (ptrdiff_t i = 0; i < count; i++) {
        const double x = get(piece.a, i, piece.is_float);
        const double error = piece.a_error && x > LOWEST ? piece.a_error[i] : 0.0;
        numbers[i] = split_finely(x, error, &upper[i], &tail[i]);
    }
    look_up(POWERS, numbers, powers);
    look_up(POWER_ERRORS, numbers, errors);
    INDEPENDENT SHORT
    for (ptrdiff_t i = 0; i < count; i++) {
        const Two x = joined_in_parts(upper[i], tail[i], powers[i], errors[i], numbers[i]);
        piece.e[i] = x.x;
        piece.e_error[i] = x.lost;
    }
    if (piece.sides)
        sum_side_by_side(piece, count);
}

/* Compute d of logits with a temperature alone. */
INLINE void scale_logits(const Task *task, ptrdiff_t from, ptrdiff_t at, ptrdiff_t count,
                         double inverse_t, double inverse_t_error, int is_float)
{
    double *const d = array_of(task, D) + at, *const d_error = array_of(task, D_ERROR) + at;
    for (ptrdiff_t i = 0; i < count; i++) {
        const double a = get(task->logits, from + i, is_float), whole = a * inverse_t;
        d[i] = whole;
        d_error[i] = fma(a, inverse_t, -whole) + a * inverse_t_error;
    }
}

/* Return whether the sum of d is needed. */
INLINE int has_sum_of_d(const Task *task)
{
    return is_spread(task) && !has_array(task);
}

INLINE void exponentials_of_piece(const Task *task, Piece piece, ptrdiff_t count)
{
    if (in_parts(task, piece.for_float)) {
        exponentials_in_parts(piece, count);
    } else {
        piece.e_error = NULL;
        exponentials(piece, count);
    }
    if (piece.sides && has_sum_of_d(task))
        sum_d_side_by_side(piece, count);
}

/* Compute e of a piece: of its logits, or of d if they are scaled. */
INLINE void exponentials_of(const Task *task, ptrdiff_t from, ptrdiff_t at, ptrdiff_t count,
                            Sides *sides, int is_float)
{
    const void *const a = place(task->logits, from, is_float);
    const double *const d = array_of(task, D) + at;
    const double *const d_error = array_of(task, D_ERROR) + at;
    double *const e = array_of(task, E) + at, *const e_error = array_of(task, E_ERROR) + at;
    if (has_d_error(task, is_float))
        exponentials_of_piece(task, (Piece){d, d_error, e, e_error, sides, 0, is_float}, count);
    else if (is_scaled(task))
        exponentials_of_piece(task, (Piece){d, NULL, e, e_error, sides, 0, is_float}, count);
    else
        exponentials_of_piece(task, (Piece){a, NULL, e, e_error, sides, is_float, is_float}, count);
}

/* The same for the last piece of a long row: with masked classes, whose e are as good as 0, up to a whole
   piece. They may take the place of the next row's first e, which are computed later. */
INLINE void last_exponentials(const Task *task, ptrdiff_t from, ptrdiff_t at, ptrdiff_t count,
                              Sides *sides, int is_float)
{
    ALIGNED double a[PIECE], a_error[PIECE];
    const double *const d = array_of(task, D) + at, *const d_error = array_of(task, D_ERROR) + at;
    double *const e = array_of(task, E) + at, *const e_error = array_of(task, E_ERROR) + at;
    const Piece piece = {a, a_error, e, in_parts(task, is_float) ? e_error : NULL, sides, 0,
                         is_float};
    for (ptrdiff_t i = 0; i < PIECE; i++) {
        const int is_class = i < count;
        a[i] = !is_class         ? -INFINITY
               : is_scaled(task) ? d[i]
                                 : get(task->logits, from + i, is_float);
        a_error[i] = is_class && has_d_error(task, is_float) ? d_error[i] : 0.0;
    }
    /* Loops of known length are faster. */
    if (in_parts(task, is_float))
        exponentials_in_parts(piece, PIECE);
    else if (count > SIDES)
        exponentials(piece, PIECE);
    else
        exponentials(piece, SIDES);
    for (ptrdiff_t i = count; i < PIECE; i++)
        a[i] = 0.0;
    if (has_sum_of_d(task))
        sum_d_side_by_side(piece, PIECE);
}

/* Return d of a logit, in two parts. */
INLINE double d_of(const Task *task, ptrdiff_t start, ptrdiff_t i, double *error, int is_float)
{
    *error = is_scaled(task) && !is_float ? array_of(task, D_ERROR)[i] : 0.0;
    return is_scaled(task) ? array_of(task, D)[i]
                     : get(task->logits, start * task->columns + i, is_float);
}

/* Set out what `costs` sums: d, or NaN if an e is too small. */
INLINE void set_out(const Task *task, ptrdiff_t start, ptrdiff_t at, ptrdiff_t count, int is_float)
{
    double *const terms = array_of(task, TERMS), error;
    const double *const e = array_of(task, E);
    for (ptrdiff_t i = at; i < at + count; i++)
        terms[i] = e[i] >= SMALLEST_E_Y ? d_of(task, start, i, &error, is_float) : NAN;
}

/* Look ahead at what will be read and written of a piece, and compute d of its logits if they are
   scaled. */
INLINE void prepare(const Task *task, ptrdiff_t row, ptrdiff_t from, ptrdiff_t at, ptrdiff_t count,
                    const Tile *tile, double cap, int is_float)
{
    const double inverse_t = tile->inverse_t[row], error = tile->inverse_t_error[row];
    look_ahead(place(task->logits, from + TILE, is_float), is_float, 0);
    /* The results of short rows are written soon. */
    if (task->columns <= TILE && task->probs)
        look_ahead(place(task->probs, from, is_float), is_float, 1);
    if (task->columns <= TILE && task->grad_logits)
        look_ahead(place(task->grad_logits, from, is_float), is_float, 1);
    if (task->softcap.at)
        cap_logits(task, from, at, count, inverse_t, error, cap, is_float);
    else if (task->temperature.at)
        scale_logits(task, from, at, count, inverse_t, error, is_float);
}

/* Compute e of short rows, piece by piece: of all together if nothing differs between them. */
INLINE void exponentials_of_rows(const Task *task, ptrdiff_t start, ptrdiff_t rows,
                                 const Tile *tile, int is_float)
{
    const ptrdiff_t columns = task->columns, count = rows * columns;
    const ptrdiff_t length = task->softcap.step || task->temperature.step ? columns : count;
    for (ptrdiff_t row = 0, begin = 0; begin < count; row++, begin += length) {
        const double cap = number_of(or_else(task->softcap, &ONE), start + row);
        for (ptrdiff_t i = begin; i < begin + length; i += PIECE) {
            const ptrdiff_t from = start * columns + i, left = begin + length - i;
            const ptrdiff_t piece = left < PIECE ? left : PIECE;
            prepare(task, row, from, i, piece, tile, cap, is_float);
            if (piece == PIECE) /* Loops of known length are faster. */
                exponentials_of(task, from, i, PIECE, NULL, is_float);
            else
                exponentials_of(task, from, i, piece, NULL, is_float);
            if (is_spread(task))
                set_out(task, start, i, piece, is_float);
        }
    }
}

/* Add up e that were summed side by side. */
INLINE void fold(const Sides *sides, Tile *tile, ptrdiff_t row)
{
    Wide mosts = sides->most[0], rests = sides->rest[0], errors = sides->error[0];
    for (int k = 1; k < VECTORS; k++) {
        const WidePlaces is_more = sides->most[k] > mosts;
        ADD(rests, errors, CHOSEN(is_more, mosts, sides->most[k]));
        ADD(rests, errors, sides->rest[k]);
        mosts = CHOSEN(is_more, sides->most[k], mosts);
        errors += sides->error[k];
    }
    double sum = 0.0, error = 0.0, most = 0.0;
    for (ptrdiff_t lane = 0; lane < 2 * LANES; lane++) {
        const double x = mosts[lane];
        ADD(sum, error, rests[lane]);
        ADD(sum, error, x > most ? most : x);
        most = x > most ? x : most;
        error += errors[lane];
    }
    tile->most[row] = most;
    tile->rest[row] = sum;
    tile->rest_error[row] = error;
}

/* Add up d that were. */
INLINE void fold_d(const Sides *sides, Tile *tile, ptrdiff_t row)
{
    Wide ds = sides->d[0], errors = sides->d_error[0] + sides->d_lost[0];
    double sum = 0.0, error = 0.0;
    for (int k = 1; k < VECTORS; k++) {
        ADD(ds, errors, sides->d[k]);
        errors += sides->d_error[k] + sides->d_lost[k];
    }
    for (ptrdiff_t lane = 0; lane < 2 * LANES; lane++) {
        ADD(sum, error, ds[lane]);
        error += errors[lane];
    }
    tile->costs[row] = sum;
    tile->costs_error[row] = error;
}

/* Add up what they have lost. */
INLINE double sum_of(const Wide *lost)
{
    double sum = 0.0;
    const Wide all = (lost[0] + lost[1]) + (lost[2] + lost[3]);
    for (ptrdiff_t lane = 0; lane < 2 * LANES; lane++)
        sum += all[lane];
    return sum;
}

/* Compute e of long rows, and sums of them. */
INLINE void exponentials_of_long_rows(const Task *task, ptrdiff_t start, ptrdiff_t rows, Tile *tile,
                                      int is_float)
{
    for (ptrdiff_t row = 0; row < rows; row++) {
        const double cap = number_of(or_else(task->softcap, &ONE), start + row);
        const ptrdiff_t begin = row * task->columns, end = begin + classes_of(task, start + row);
        Sides sides;
        memset(&sides, 0, is_spread(task) ? sizeof sides : offsetof(Sides, lost));
        for (ptrdiff_t i = begin; i < end; i += PIECE) {
            const ptrdiff_t from = start * task->columns + i;
            const ptrdiff_t piece = end - i < PIECE ? end - i : PIECE;
            prepare(task, row, from, i, piece, tile, cap, is_float);
            if (piece == PIECE)
                exponentials_of(task, from, i, PIECE, &sides, is_float);
            else
                last_exponentials(task, from, i, piece, &sides, is_float);
        }
        fold(&sides, tile, row);
        if (in_parts(task, is_float))
            tile->lost[row] = sum_of(sides.lost);
        if (has_sum_of_d(task))
            fold_d(&sides, tile, row);
    }
}

/* Multiply the targets of a row, which become its target weights q. */
INLINE void weigh_classes(const Task *task, double *restrict q, double *restrict q_error,
                          const Double *w, const Tile *tile, ptrdiff_t row)
{
    const Two kept = {tile->kept[row], tile->kept_error[row]};
    const Two part = {tile->part[row], tile->part_error[row]};
    const Two share = {tile->share[row], tile->share_error[row]};
    if (w)
        for (ptrdiff_t c = 0; c < task->columns; c++) {
            const Two weighed = weight(q[c], kept, part, w[c], share);
            q[c] = weighed.x;
            q_error[c] = weighed.lost;
        }
    else
        for (ptrdiff_t c = 0; c < task->columns; c++) {
            const Two weighed = weight(q[c], kept, part, 1.0, share);
            q[c] = weighed.x;
            q_error[c] = weighed.lost;
        }
}

/* Find the labels of some rows, and the target weights q. */
INLINE void weigh(const Task *task, ptrdiff_t start, ptrdiff_t rows, Tile *tile)
{
    const Numbers targets = task->targets, weights = task->class_weights;
    const ptrdiff_t columns = task->columns;
    for (ptrdiff_t row = 0; row < rows; row++) {
        const ptrdiff_t label = task->labels[start + row];
        const int is_class = label >= 0 && label < columns;
        tile->y[row] = is_class ? label : 0;
        tile->q_y[row] = is_class ? tile->q_label[row] : NAN;
    }
    if (!is_bare(task))
        memcpy(tile->q_y_error, tile->q_label_error, sizeof tile->q_y_error);
    for (ptrdiff_t row = 0; row < rows && (weights.at || targets.at); row++) {
        const ptrdiff_t from = (start + row) * targets.step, y = tile->y[row];
        const Double *const w = (const Double *)weights.at + (start + row) * weights.step;
        double *const q = array_of(task, Q) + row * columns;
        double *const q_error = array_of(task, Q_ERROR) + row * columns;
        if (!has_array(task)) {
            const Two share = {tile->share[row], tile->share_error[row]};
            const Two weighed = weight(1.0, (Two){1.0, 0.0}, (Two){0.0, 0.0}, w[y], share);
            tile->q_y[row] = tile->q_y[row] >= 0.0 ? weighed.x : NAN;
            tile->q_y_error[row] = weighed.lost;
            continue;
        }
        if (!targets.at) {
            memset(q, 0, (size_t)columns * sizeof *q);
            q[y] = tile->q_y[row] >= 0.0 ? 1.0 : NAN;
        } else if (task->are_float)
            for (ptrdiff_t c = 0; c < columns; c++)
                q[c] = usual_target(get(targets.at, from + c, 1));
        else
            for (ptrdiff_t c = 0; c < columns; c++)
                q[c] = usual_target(get(targets.at, from + c, 0));
        if (has_lost(task))
            weigh_classes(task, q, q_error, weights.at ? w : NULL, tile, row);
    }
}

/* Have padding no part of any sum. */
INLINE void blank(const Task *task, ptrdiff_t start, ptrdiff_t rows)
{
    for (ptrdiff_t row = 0; row < rows; row++)
        for (ptrdiff_t c = classes_of(task, start + row); c < task->columns; c++) {
            const ptrdiff_t i = row * task->columns + c;
            array_of(task, E)[i] = 0.0;
            if (is_spread(task))
                for (int which = E_ERROR; which <= TERMS; which++)
                    array_of(task, which)[i] = 0.0;
        }
}

/* Find the most probable class of each row. */
INLINE void find_largest(const double *e, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t *one)
{
    ptrdiff_t row = 0;
    for (; columns <= NARROW && row + LANES <= rows; row += LANES) {
        const double *at = e + row * columns;
        Lanes best = {at[0], at[columns], at[2 * columns], at[3 * columns]};
        Places where = {0};
        for (ptrdiff_t c = 1; c < columns; c++) {
            const Lanes next = {at[c], at[columns + c], at[2 * columns + c], at[3 * columns + c]};
            const Places is_larger = next > best;
            where = CHOSEN(is_larger, (Places){0} + c, where);
            best = CHOSEN(is_larger, next, best);
        }
        memcpy(one + row, &where, sizeof where);
    }
    for (; row < rows; row++)
        one[row] = largest_of(e + row * columns, columns);
}

/* Return log S of a row where it is near 0, by the logits' own digits: as d_m + log1p(rest / e_m),
   with m where d is largest. The sum S near 1 has lost those of its logarithm. */
INLINE Two log_near_zero(const Task *task, ptrdiff_t start, ptrdiff_t row, int is_float)
{
    double *const e = array_of(task, E) + row * task->columns;
    const ptrdiff_t m = largest_of(e, task->columns);
    double e_m, rest, rest_error, error;
    sum_others(e, 1, task->columns, &m, &e_m, &rest, &rest_error);
    double d = d_of(task, start, row * task->columns + m, &error, is_float);
    ADD(d, error, log_of_sum(rest, rest_error, e_m));
    return parts(d, error);
}

/* Compute the sum of the target weights of a long row without that of `one`: from that of all,
   where the others are enough of it to keep their digits. */
INLINE void sum_weights_of_long_row(const Task *task, ptrdiff_t row, Tile *tile)
{
    const ptrdiff_t columns = task->columns, *const one = &tile->one[row];
    double *const q = array_of(task, Q) + row * columns;
    double *const q_error = array_of(task, Q_ERROR) + row * columns;
    double sum, error = 0.0, sum_lost = 0.0, lost;
    sum_wide(q, columns, &sum, &error);
    tile->q_one[row] = q[*one];
    ADD(sum, error, -q[*one]);
    tile->others[row] = sum;
    tile->others_error[row] = error;
    if (sum != 0.0 && sum < 0x1p-30 * q[*one])
        sum_others(q, 1, columns, one, &tile->q_one[row], &tile->others[row],
                   &tile->others_error[row]);
    tile->q_one_error[row] = 0.0;
    if (!has_lost(task))
        return;
    sum_others(q_error, 1, columns, one, &tile->q_one_error[row], &sum_lost, &lost);
    tile->others_error[row] += sum_lost;
}

/* Compute the sums of target weights: without that of `one`, and of all. */
INLINE void sum_weights(const Task *task, ptrdiff_t rows, Tile *tile)
{
    double sums_lost[ROWS] = {0.0}, lost[ROWS] = {0.0};
    if (has_array(task) && is_long(task)) {
        for (ptrdiff_t row = 0; row < rows; row++)
            sum_weights_of_long_row(task, row, tile);
        return;
    }
    if (has_array(task)) {
        sum_others(array_of(task, Q), rows, task->columns, tile->one, tile->q_one, tile->others,
                   tile->others_error);
        if (has_lost(task))
            sum_others(array_of(task, Q_ERROR), rows, task->columns, tile->one, tile->q_one_error,
                       sums_lost, lost);
        else
            memset(tile->q_one_error, 0, sizeof tile->q_one_error);
        for (ptrdiff_t row = 0; row < rows; row++)
            tile->others_error[row] += sums_lost[row];
        return;
    }
    if (!is_spread(task)) {
        memcpy(tile->q_one, tile->q_y, sizeof tile->q_one);
        memcpy(tile->q_one_error, tile->q_y_error, sizeof tile->q_one_error);
        memset(tile->others, 0, sizeof tile->others);
        memset(tile->others_error, 0, sizeof tile->others_error);
        return;
    }
    for (ptrdiff_t row = 0; row < rows; row++) {
        const double count = tile->classes[row];
        const double other = tile->q_other[row], other_error = tile->q_other_error[row];
        const int is_y = tile->one[row] == tile->y[row];
        const double times = is_y ? count - 1.0 : count - 2.0;
        const double added = is_y ? 0.0 : tile->q_y[row];
        double sum = other * times, error = fma(other, times, -sum) + other_error * times;
        ADD(sum, error, added);
        tile->q_one[row] = is_y ? tile->q_y[row] : other;
        tile->q_one_error[row] = is_y ? tile->q_y_error[row] : other_error;
        tile->others[row] = sum;
        tile->others_error[row] = error + (is_y ? 0.0 : tile->q_y_error[row]);
    }
}

/* Compute log S of some rows, and the derivative of the z-loss by it. */
INLINE void add_z_losses(const Task *task, ptrdiff_t start, ptrdiff_t rows, Tile *tile,
                         int is_float)
{
    Two logs[ROWS];
    for (ptrdiff_t row = 0; row < rows; row++)
        logs[row] = log_of_total(tile->total[row], tile->total_error[row]);
    for (ptrdiff_t row = 0; row < rows; row++)
        if (fabs(logs[row].x) < 0.5)
            logs[row] = log_near_zero(task, start, row, is_float);
    for (ptrdiff_t row = 0; row < rows; row++) {
        const double twice = 2.0 * tile->z[row], slope = twice * logs[row].x;
        tile->log_total[row] = logs[row].x;
        tile->z_loss[row] =
            tile->z[row] * fma(logs[row].x, logs[row].x, 2.0 * logs[row].x * logs[row].lost);
        tile->slope[row] = slope;
        tile->slope_error[row] = fma(twice, logs[row].x, -slope) +
                                 (twice * logs[row].lost + 2.0 * tile->z_error[row] * logs[row].x);
    }
}

/* Return where the first number is that is equal to this one, or 0. */
INLINE ptrdiff_t find(const void *numbers, ptrdiff_t count, double x, int is_float)
{
    for (ptrdiff_t at = 0; at < count; at += PIECE) {
        const ptrdiff_t end = count - at < PIECE ? count : at + PIECE;
        int64_t is_here = 0;
        for (ptrdiff_t i = at; i < end; i++)
            is_here |= get(numbers, i, is_float) == x;
        for (ptrdiff_t i = at; i < end && is_here; i++)
            if (get(numbers, i, is_float) == x)
                return i;
    }
    return 0;
}

/* Find the class `one` of a long row, and the sum of the others from that of all but the largest. */
INLINE void sum_long_row(const Task *task, ptrdiff_t row, Tile *tile, double *e_one_error,
                         double *sum_lost, int is_float)
{
    const ptrdiff_t columns = task->columns, at = row * columns, y = tile->y[row];
    double *const e = array_of(task, E) + at, *const e_error = array_of(task, E_ERROR) + at, error;
    const double most = tile->most[row];
    tile->one[row] = !is_spread(task) || e[y] == most ? y : find(e, columns, most, 0);
    tile->e_one[row] = e[tile->one[row]];
    if (tile->e_one[row] != most) {
        double rest = tile->rest[row];
        ADD(rest, tile->rest_error[row], -tile->e_one[row]);
        ADD(rest, tile->rest_error[row], most);
        tile->rest[row] = rest;
    }
    if (!in_parts(task, is_float))
        return;
    *e_one_error = e_error[tile->one[row]];
    *sum_lost = tile->lost[row] - *e_one_error;
    /* Where the others are few, their sum has to do without the one that counts. */
    if (tile->rest[row] < 0x1p-30 * tile->e_one[row])
        sum_others(e_error, 1, columns, &tile->one[row], e_one_error, sum_lost, &error);
}

/* Compute the sums of some rows from their e and q, and what follows from them. */
INLINE void sums(const Task *task, ptrdiff_t start, ptrdiff_t rows, Tile *tile, int is_float)
{
    const ptrdiff_t columns = task->columns;
    double e_one_error[ROWS] = {0.0}, sums_lost[ROWS] = {0.0}, lost[ROWS];
    if (is_long(task)) {
        for (ptrdiff_t row = 0; row < rows; row++)
            sum_long_row(task, row, tile, &e_one_error[row], &sums_lost[row], is_float);
    } else {
        if (is_spread(task))
            find_largest(array_of(task, E), rows, columns, tile->one);
        else
            memcpy(tile->one, tile->y, sizeof tile->one);
        sum_others(array_of(task, E), rows, columns, tile->one, tile->e_one, tile->rest,
                   tile->rest_error);
        if (in_parts(task, is_float))
            sum_others(array_of(task, E_ERROR), rows, columns, tile->one, e_one_error, sums_lost,
                       lost);
    }
    for (ptrdiff_t row = 0; row < rows; row++) {
        double rest_error = tile->rest_error[row] + sums_lost[row], total_error, error;
        const double rest = rounded(tile->rest[row], &rest_error);
        const double total =
            plus(rest, rest_error + e_one_error[row], tile->e_one[row], &total_error);
        tile->inverse[row] = inverse_of(total, total_error, &error);
        tile->inverse_error[row] = error;
        tile->rest[row] = rest;
        tile->rest_error[row] = rest_error;
        tile->total[row] = total;
        tile->total_error[row] = total_error;
    }
    if (is_bare(task)) {
        memcpy(tile->usual, tile->q_y, sizeof tile->usual);
        return;
    }
    memcpy(tile->e_one_error, e_one_error, sizeof e_one_error);
    sum_weights(task, rows, tile);
    for (ptrdiff_t row = 0; row < rows; row++)
        tile->slope[row] = tile->slope_error[row] = 0.0;
    if (task->z_scale.at)
        add_z_losses(task, start, rows, tile, is_float);
    for (ptrdiff_t row = 0; row < rows; row++) {
        /* Where it cancels with q, all its digits count. */
        const double inverse = tile->inverse[row], by_t = tile->by_t[row];
        double sum_error, error;
        tile->sum[row] = plus(tile->others[row], tile->others_error[row] + tile->q_one_error[row],
                              tile->q_one[row], &sum_error);
        const double x =
            plus(tile->sum[row], sum_error + tile->slope_error[row], tile->slope[row], &error);
        const double factor = x * by_t, whole = inverse * factor;
        error = fma(x, by_t, -factor) + (x * tile->by_t_error[row] + error * by_t);
        tile->factor[row] = whole;
        tile->factor_error[row] =
            fma(inverse, factor, -whole) + (tile->inverse_error[row] * factor + inverse * error);
        if (!has_sum_of_d(task))
            tile->costs[row] = tile->costs_error[row] = 0.0;
        tile->usual[row] = tile->z[row] >= 0.0 ? usual(tile->sum[row] * tile->outer[row]) : NAN;
        /* The sum and the derivative of a z-loss may cancel themselves. */
        tile->least[row] = is_float ? 0x1p-18 * (tile->sum[row] + tile->z[row])
                                    : 0.125 * tile->sum[row] + 2.5 * tile->z[row];
        tile->flags[row] = bits_of(fabs(x) - tile->least[row]);
        if (task->z_scale.at)
            tile->flags[row] |= bits_of(fabs(tile->log_total[row]) - 0x1p-1);
        /* What log S has lost is seen in what is left of two terms. */
        const double close = tile->limit[row] + 2.0 * tile->z[row] / tile->sum[row];
        tile->close[row] = is_float || !task->z_scale.at ? tile->limit[row]
                           : close < 1.0                 ? close
                                                         : 1.0;
    }
}

/* Return the sum of q_c (d_one - d_c) of a long row. */
INLINE double cost_of_long_row(const Task *task, ptrdiff_t start, ptrdiff_t row, ptrdiff_t one,
                               int is_float)
{
    const ptrdiff_t at = row * task->columns;
    const double *const q = array_of(task, Q) + at;
    const double *const lost_of_d = array_of(task, D_ERROR) + at;
    const void *const d = is_scaled(task) ? (const void *)(array_of(task, D) + at)
                                          : place(task->logits, start * task->columns + at,
                                                  is_float);
    const int has_error = is_scaled(task) && !is_float;
    Wide sums[2] = {{0}}, errors[2] = {{0}};
    double one_error, error = 0.0, sum = 0.0, d_error;
    const double d_one = d_of(task, start, at + one, &one_error, is_float);
    ptrdiff_t i = 0;
    for (; i + 16 <= task->columns; i += 16)
        for (int k = 0; k < 2; k++) {
            const ptrdiff_t c = i + 8 * k;
            const Wide whole = is_scaled(task) ? wide(d, c, 0) : wide(d, c, is_float);
            const Wide q_c = wide(q, c, 0);
            const Wide lost = has_error ? one_error - wide(lost_of_d, c, 0) : (Wide){0};
            const Wide term = nan_if(whole < SMALLEST_D, q_c * ((d_one - whole) + lost));
            const Wide cost = CHOSEN(q_c != 0.0, term, (Wide){0});
            ADD_FOR(is_float, sums[k], errors[k], cost);
        }
    for (; i < task->columns; i++) {
        const double whole = d_of(task, start, at + i, &d_error, is_float);
        const double term = q[i] * ((d_one - whole) + (one_error - d_error));
        ADD(sum, error, q[i] == 0.0 ? 0.0 : whole < SMALLEST_D ? NAN : term);
    }
    ADD(sums[0], errors[0], sums[1]);
    errors[0] += errors[1];
    for (int lane = 0; lane < 2 * LANES; lane++) {
        ADD(sum, error, sums[0][lane]);
        error += errors[0][lane];
    }
    return sum + error;
}

/* Compute what other classes than `one` add to losses, the sum of q_c (d_one - d_c), in which no
   term is negative. */
INLINE void costs(const Task *task, ptrdiff_t start, ptrdiff_t rows, Tile *tile, int is_float)
{
    const ptrdiff_t columns = task->columns;
    double *const terms = array_of(task, TERMS), *const q = array_of(task, Q);
    double errors[ROWS] = {0.0}, lost[ROWS];
    if (is_long(task)) {
        for (ptrdiff_t row = 0; row < rows && has_array(task); row++)
            tile->costs[row] = cost_of_long_row(task, start, row, tile->one[row], is_float);
    } else {
        for (ptrdiff_t row = 0; row < rows && has_array(task); row++) {
            const ptrdiff_t at = row * columns;
            double one_error, error;
            const double d_one = d_of(task, start, at + tile->one[row], &one_error, is_float);
            for (ptrdiff_t i = at; i < at + columns; i++) {
                d_of(task, start, i, &error, is_float);
                terms[i] = q[i] == 0.0 ? 0.0 : q[i] * ((d_one - terms[i]) + (one_error - error));
            }
        }
        sum_rows(terms, rows, columns, tile->costs, tile->costs_error);
    }
    for (ptrdiff_t row = 0; row < rows; row++)
        tile->usual[row] = tile->costs[row] < INFINITY ? tile->usual[row] : NAN;
    if (has_array(task))
        return;
    /* The sum of d itself is exact enough, in two parts. */
    if (is_scaled(task) && !is_float && !is_long(task))
        sum_rows(array_of(task, D_ERROR), rows, columns, errors, lost);
    for (ptrdiff_t row = 0; row < rows; row++) {
        const ptrdiff_t at = row * columns;
        const double count = tile->classes[row], q_other = tile->q_other[row];
        double one_error, error;
        const double d_one = d_of(task, start, at + tile->one[row], &one_error, is_float);
        const double d_y = d_of(task, start, at + tile->y[row], &error, is_float);
        const double x = (d_one - d_y) + (one_error - error), all = count * d_one;
        const double rest = fma(count, d_one, -all) - tile->costs_error[row] - errors[row];
        const double sum = (all - tile->costs[row]) + fma(count, one_error, rest);
        tile->costs[row] = fma(tile->q_y[row] - q_other, x, q_other * sum);
        tile->costs_error[row] = 0.0;
    }
}

/* Write e times a factor in two parts, and times derivatives if there are any. */
INLINE void scale(const double *e, const double *e_error, const double *slopes, ptrdiff_t count,
                  double factor, double error, char *to, int is_float)
{
    INDEPENDENT
    for (ptrdiff_t i = 0; i < count; i++) {
        const double lost = e[i] * error;
        const double x = fma(e[i], factor, e_error ? fma(e_error[i], factor, lost) : lost);
        put(to, i, slopes ? x * slopes[i] : x, is_float);
    }
}

/* Write (e_c factor - q_c / T) times the derivative of the cap, for a factor in two parts, where
   several classes have target weights. Return flags whose first bit is set if two of these terms
   were too close. What there is, is known to the compiler. */
INLINE uint64_t subtract_some(const double *e, const double *e_error, const double *q,
                              const double *q_error, const double *slopes, ptrdiff_t count,
                              const Tile *tile, ptrdiff_t row, char *to, const int has_q,
                              const int has_q_error, const int has_slopes, int is_float)
{
    const double factor = tile->factor[row], error = tile->factor_error[row];
    const double by_t = tile->by_t[row], by_t_error = tile->by_t_error[row];
    const double limit = tile->close[row], other = tile->q_other[row] * by_t;
    const double other_error = fma(tile->q_other[row], by_t, -other) +
                               (tile->q_other[row] * by_t_error + tile->q_other_error[row] * by_t);
    uint64_t flags = 0;
    INDEPENDENT
    for (ptrdiff_t i = 0; i < count; i++) {
        const double v = has_q ? q[i] * by_t : other;
        double v_error = has_q ? fma(q[i], by_t, -v) + q[i] * by_t_error : other_error;
        double small = e[i] * error;
        if (has_q_error)
            v_error += q_error[i] * by_t;
        if (!is_float)
            small = fma(e_error[i], factor, small) - v_error;
        const double x = fma(e[i], factor, -v) + small;
        flags |= bits_of(fabs(x) - limit * v);
        put(to, i, has_slopes ? x * slopes[i] : x, is_float);
    }
    return flags;
}

INLINE uint64_t subtract(const double *e, const double *e_error, const double *q,
                         const double *q_error, const double *slopes, ptrdiff_t count,
                         const Tile *tile, ptrdiff_t row, char *to, int is_float)
{
#define SUBTRACT(has_q, has_q_error, has_slopes)                                                 \
    subtract_some(e, e_error, q, q_error, slopes, count, tile, row, to, has_q, has_q_error,      \
                  has_slopes, is_float)
    if (!q)
        return slopes ? SUBTRACT(0, 0, 1) : SUBTRACT(0, 0, 0);
    if (is_float || !q_error)
        return slopes ? SUBTRACT(1, 0, 1) : SUBTRACT(1, 0, 0);
    return slopes ? SUBTRACT(1, 1, 1) : SUBTRACT(1, 1, 0);
}

/* Write probabilities, or gradients as they are where no class is `one`, of some classes of a row.
   */
INLINE void spread_some(const Task *task, Tile *tile, ptrdiff_t row, ptrdiff_t at, ptrdiff_t count,
                        int are_probs, char *to, int is_float)
{
    const double *const e = array_of(task, E) + at;
    const double *const e_error = in_parts(task, is_float) ? array_of(task, E_ERROR) + at : NULL;
    const double *const slopes = task->softcap.at ? array_of(task, SLOPES) + at : NULL;
    if (are_probs)
        scale(e, e_error, NULL, count, tile->inverse[row], tile->inverse_error[row], to, is_float);
    else if (!is_spread(task))
        scale(e, NULL, slopes, count, tile->factor[row], tile->factor_error[row], to, is_float);
    else
        tile->flags[row] |=
            subtract(e, e_error, has_array(task) ? array_of(task, Q) + at : NULL,
                     has_array(task) && has_lost(task) && !is_float ? array_of(task, Q_ERROR) + at
                                                                    : NULL,
                     slopes, count, tile, row, to, is_float);
}

/* Write that for each row to a block of results, from its row `start` on, and the same to a second
   one if there is one. */
INLINE void spread_rows(const Task *task, Tile *tile, ptrdiff_t start, ptrdiff_t rows,
                        int are_probs, void *block, void *second, int is_float)
{
    const ptrdiff_t columns = task->columns, whole = columns - columns % PIECE;
    char *const to = place(block, start * columns, is_float);
    char *const copy = place(second, start * columns, is_float);
    if (columns <= TILE) {
        for (ptrdiff_t row = 0, at = 0; row < rows; row++, at += columns)
            spread_some(task, tile, row, at, columns, are_probs, place(to, at, is_float), is_float);
        if (copy)
            memcpy(copy, to, bytes_of(rows * columns, is_float));
        return;
    }
    for (ptrdiff_t c = 0; c < columns; c += PIECE) {
        const ptrdiff_t count = c < whole ? PIECE : columns - whole;
        look_ahead(place(to, c + AHEAD, is_float), is_float, 1);
        spread_some(task, tile, 0, c, count, are_probs, place(to, c, is_float), is_float);
        if (!copy)
            continue;
        look_ahead(place(copy, c + AHEAD, is_float), is_float, 1);
        memcpy(place(copy, c, is_float), place(to, c, is_float), bytes_of(count, is_float));
    }
}

/* Return -q S / e, the derivative by a probability. */
INLINE double by_prob(const Task *task, const Tile *tile, ptrdiff_t row, ptrdiff_t i, double q,
                      int is_float)
{
    const double e = array_of(task, E)[i], total = tile->total[row], quotient = total / e;
    const double e_error = in_parts(task, is_float) ? array_of(task, E_ERROR)[i] : 0.0;
    const double left = fma(-quotient, e, total) + (tile->total_error[row] - quotient * e_error);
    const double weight = q * tile->outer[row];
    /* 1 / e is the quotient times 1 / S. */
    const double lost = left * tile->inverse[row] * quotient;
    return weight == 0.0 || e == 0.0 ? 0.0 : -fma(quotient, weight, lost * weight);
}

/* Write probabilities, and gradients as they are where no class is `one`. */
INLINE void spread(const Task *task, Tile *tile, ptrdiff_t start, ptrdiff_t rows, int is_float)
{
    const int are_equal = task->probs && is_bare(task);
    if (task->probs)
        spread_rows(task, tile, start, rows, 1, task->probs, are_equal ? task->grad_logits : NULL,
                    is_float);
    if (task->grad_logits && !are_equal)
        spread_rows(task, tile, start, rows, is_bare(task), task->grad_logits, NULL, is_float);
    for (ptrdiff_t row = 0; row < rows && task->grad_logits && task->num_classes.at; row++)
        for (ptrdiff_t c = classes_of(task, start + row); c < task->columns; c++)
            put(task->grad_logits, (start + row) * task->columns + c, 0.0, is_float);
    if (task->grad_probs && is_spread(task))
        for (ptrdiff_t row = 0; row < rows; row++)
            for (ptrdiff_t c = 0; c < task->columns; c++) {
                const ptrdiff_t i = row * task->columns + c;
                const double q = has_array(task) ? array_of(task, Q)[i] : tile->q_other[row];
                put(task->grad_probs, start * task->columns + i,
                    by_prob(task, tile, row, i, q, is_float), is_float);
            }
}

/* Return dL/da of the class `one`, but for the derivative of a cap: ((s - q) f(x) - q (1 - f(x)) +
   slope f(x)) / T, with the sum of the others for s - q, and rest / S for 1 - f(x). */
INLINE double gradient_at_one(Tile *tile, ptrdiff_t row)
{
    const double q = tile->q_one[row], rest = tile->rest[row], e = tile->e_one[row];
    const double lost = q * rest;
    const double lost_error =
        fma(q, rest, -lost) + (q * tile->rest_error[row] + tile->q_one_error[row] * rest);
    double error;
    const double others =
        plus(tile->others[row], tile->others_error[row] + tile->slope_error[row],
             tile->slope[row], &error);
    const double x = fma(others, e, -lost);
    const double small = (others * tile->e_one_error[row] + error * e) - lost_error;
    const double by_t = tile->by_t[row], inverse = tile->inverse[row], factor = inverse * by_t;
    const double factor_error =
        fma(inverse, by_t, -factor) +
        (inverse * tile->by_t_error[row] + tile->inverse_error[row] * by_t);
    tile->flags[row] |= bits_of(fabs(x + small) - tile->close[row] * lost);
    return product(x, small, factor, factor_error);
}

/* Write losses. */
INLINE void write_losses(const Task *task, const Tile *tile, ptrdiff_t start, ptrdiff_t rows)
{
    double *const losses = task->loss + start;
    if (is_bare(task)) {
        for (ptrdiff_t row = 0; row < rows; row++)
            losses[row] = log_of_sum(tile->rest[row], tile->rest_error[row], tile->e_one[row]);
        return;
    }
    for (ptrdiff_t row = 0; row < rows; row++) {
        const double log = log_of_sum(tile->rest[row], tile->rest_error[row], tile->e_one[row]);
        losses[row] = (fma(tile->sum[row], log, tile->costs_error[row]) + tile->costs[row]) *
                      tile->outer[row];
    }
    if (task->z_scale.at)
        for (ptrdiff_t row = 0; row < rows; row++)
            losses[row] += tile->z_loss[row];
}

/* Write what depends on the class y, where the others have the same target weight. */
INLINE void write_label(const Task *task, Tile *tile, ptrdiff_t start, ptrdiff_t rows,
                        int is_float)
{
    const ptrdiff_t columns = task->columns;
    for (ptrdiff_t row = 0; row < rows; row++) {
        const ptrdiff_t i = row * columns + tile->y[row];
        const double q = tile->q_y[row], q_error = tile->q_y_error[row];
        if (task->grad_probs)
            put(task->grad_probs, start * columns + i, by_prob(task, tile, row, i, q, is_float),
                is_float);
        if (!task->grad_logits || tile->one[row] == tile->y[row])
            continue;
        const double e = array_of(task, E)[i], v = q * tile->by_t[row];
        const double e_error = in_parts(task, is_float) ? array_of(task, E_ERROR)[i] : 0.0;
        const double v_error =
            fma(q, tile->by_t[row], -v) + (q * tile->by_t_error[row] + q_error * tile->by_t[row]);
        const double small = fma(e_error, tile->factor[row], e * tile->factor_error[row]) - v_error;
        const double x = fma(e, tile->factor[row], -v) + small;
        tile->flags[row] |= bits_of(fabs(x) - tile->close[row] * v);
        put(task->grad_logits, start * columns + i,
            task->softcap.at ? x * array_of(task, SLOPES)[i] : x, is_float);
    }
}

/* Write the losses, and what depends on the class `one`. Adding 0 has a 0 be 0 and not -0. */
INLINE void finish(const Task *task, Tile *tile, ptrdiff_t start, ptrdiff_t rows, int is_float)
{
    const ptrdiff_t columns = task->columns;
    double gradients[ROWS];
    if (task->loss)
        write_losses(task, tile, start, rows);
    if (task->z_loss)
        memcpy(task->z_loss + start, tile->z_loss, (size_t)rows * sizeof *tile->z_loss);
    if (is_spread(task) && !has_array(task))
        write_label(task, tile, start, rows, is_float);
    if (task->grad_probs && !is_spread(task))
        for (ptrdiff_t row = 0; row < rows; row++) {
            double lost;
            const double x =
                quotient(tile->total[row], tile->total_error[row], tile->e_one[row], &lost);
            const double weight = is_bare(task) ? 1.0 : tile->q_one[row] * tile->outer[row];
            put(task->grad_probs, (start + row) * columns + tile->one[row],
                0.0 - fma(x, weight, lost * weight), is_float);
        }
    if (!task->grad_logits)
        return;
    if (is_bare(task))
        for (ptrdiff_t row = 0; row < rows; row++)
            gradients[row] = -product(tile->rest[row], tile->rest_error[row], tile->inverse[row],
                                      tile->inverse_error[row]);
    else
        for (ptrdiff_t row = 0; row < rows; row++)
            gradients[row] = gradient_at_one(tile, row);
    for (ptrdiff_t row = 0; row < rows; row++) {
        const ptrdiff_t at = row * columns + tile->one[row];
        const double slope = task->softcap.at ? array_of(task, SLOPES)[at] : 1.0;
        put(task->grad_logits, start * columns + at, 0.0 + gradients[row] * slope, is_float);
    }
}

/* The operations on numbers in two parts, to about 2**-104 of their result. */
INLINE Two two_sum(double x, double y)
{
    double sum = x, lost = 0.0;
    ADD(sum, lost, y);
    return (Two){sum, lost};
}

INLINE Two added(Two x, Two y)
{
    const Two first = two_sum(x.x, y.x), second = two_sum(x.lost, y.lost);
    const Two sum = parts(first.x, first.lost + second.x);
    return parts(sum.x, sum.lost + second.lost);
}

INLINE Two times(Two x, Two y)
{
    const double whole = x.x * y.x;
    return parts(whole, fma(x.x, y.x, -whole) + (x.x * y.lost + x.lost * y.x));
}

INLINE Two over(Two x, Two y)
{
    const double whole = x.x / y.x;
    return parts(whole, (fma(-whole, y.x, x.x) + (x.lost - whole * y.lost)) / y.x);
}

/* The same where the first number is the larger one, and where what is lost may be more. */
INLINE Two larger_first(Two x, Two y)
{
    const double sum = x.x + y.x;
    return (Two){sum, ((x.x - sum) + y.x) + (x.lost + y.lost)};
}

INLINE Two quick_times(Two x, Two y)
{
    const double whole = x.x * y.x;
    return (Two){whole, fma(x.x, y.x, -whole) + fma(x.x, y.lost, x.lost * y.x)};
}

INLINE Two minus(Two x)
{
    return (Two){-x.x, -x.lost};
}

/* Return exp(d) 2**GAIN, to about 2**-99: with d = k log 2 + 32 r, exp(r) - 1 is a sum of powers,
   and five times doubled, as exp(2 r) - 1 = 2 x + x**2. */
INLINE Two exact_exponential(Two d)
{
    const double shift = 0x1.8p52 + 1023 + GAIN;
    const int64_t largest = (int64_t)bits_of(0x1.8p52 + 2046);
    const double a = d.x < LOWEST ? LOWEST : d.x, a_error = d.x < LOWEST ? 0.0 : d.lost;
    const int64_t whole = (int64_t)bits_of(fma(a, LOG2_E, shift));
    const uint64_t exponent = (uint64_t)(whole < largest ? whole : largest);
    const double k = of_bits(exponent) - shift, power = of_bits(exponent << 52);
    const Two upper = two_sum(fma(-k, LN2, a), -k * LN2_MIDDLE);
    const Two whole_r = added(upper, two_sum(a_error, -k * LN2_LAST));
    const Two r = {0x1p-5 * whole_r.x, 0x1p-5 * whole_r.lost};
    double q = 0x1.6124613a86d09p-33;
    q = fma(q, r.x, 0x1.1eed8eff8d898p-29);
    q = fma(q, r.x, 0x1.ae64567f544e4p-26);
    q = fma(q, r.x, 0x1.27e4fb7789f5cp-22);
    q = fma(q, r.x, 0x1.71de3a556c734p-19);
    q = fma(q, r.x, 0x1.a01a01a01a01ap-16);
    q = fma(q, r.x, 0x1.a01a01a01a01ap-13);
    Two sum = larger_first((Two){0x1.6c16c16c16c17p-10, -0x1.f49f49f49f49fp-65}, (Two){q * r.x, 0.0});
    sum = larger_first((Two){0x1.1111111111111p-7, 0x1.1111111111111p-63}, quick_times(r, sum));
    sum = larger_first((Two){0x1.5555555555555p-5, 0x1.5555555555555p-59}, quick_times(r, sum));
    sum = larger_first((Two){SIXTH, SIXTH_TAIL}, quick_times(r, sum));
    sum = larger_first((Two){0.5, 0.0}, quick_times(r, sum));
    Two x = larger_first(r, quick_times(quick_times(r, r), sum));
    for (int doubling = 0; doubling < 5; doubling++)
        x = larger_first((Two){2.0 * x.x, 2.0 * x.lost}, quick_times(x, x));
    const Two whole_e = larger_first((Two){1.0, 0.0}, x), e = parts(whole_e.x, whole_e.lost);
    return (Two){e.x * power, e.lost * power};
}

/* Return cap tanh(a / cap) to about 2**-98 of the cap. */
INLINE Two exact_cap(double a, double cap)
{
    const double gone = 1.0 / 0x1p400;
    const Two e = exact_exponential(ratio(-2.0 * fabs(a), cap)), one = {1.0, 0.0};
    const Two small = {e.x * gone, e.lost * gone};
    const Two tanh = over(added(one, minus(small)), added(one, small));
    const Two z = times(tanh, (Two){copysign(cap, a), 0.0});
    return a == -INFINITY ? (Two){a, 0.0} : z;
}

/* Compute e of chosen classes of a row again. */
INLINE void exponentials_again(const Task *task, ptrdiff_t start, ptrdiff_t row, const Tile *tile,
                               const double *chosen, ptrdiff_t count, int is_float)
{
    const double cap = number_of(or_else(task->softcap, &ONE), start + row);
    const Two inverse_t = {tile->inverse_t[row], tile->inverse_t_error[row]};
    const ptrdiff_t at = row * task->columns, from = start * task->columns + at;
    double a[PIECE], e[PIECE], e_error[PIECE];
    for (ptrdiff_t i = 0; i < count; i += PIECE) {
        const ptrdiff_t length = count - i < PIECE ? count - i : PIECE;
        /* Whole vectors, whatever they end with. */
        const ptrdiff_t padded = (length + 2 * LANES - 1) / (2 * LANES) * (2 * LANES);
        for (ptrdiff_t j = 0; j < padded; j++)
            a[j] = j < length ? get(task->logits, from + (ptrdiff_t)chosen[i + j], is_float) : 0.0;
        memset(e_error, 0, sizeof e_error);
        if (task->softcap.at)
            for (ptrdiff_t j = 0; j < padded; j++) {
                const Two z = exact_cap(a[j], cap);
                a[j] = z.x;
                e_error[j] = z.lost;
            }
        for (ptrdiff_t j = 0; j < padded; j++) {
            const Two x = exact_exponential(times((Two){a[j], e_error[j]}, inverse_t));
            e[j] = x.x;
            e_error[j] = x.lost;
        }
        for (ptrdiff_t j = 0; j < length; j++) {
            array_of(task, E)[at + (ptrdiff_t)chosen[i + j]] = e[j];
            array_of(task, E_ERROR)[at + (ptrdiff_t)chosen[i + j]] = e_error[j];
        }
    }
}

/* Return the target weight of a class, in two parts. */
INLINE Two weight_of(const Task *task, const Tile *tile, ptrdiff_t row, ptrdiff_t c,
                     ptrdiff_t classes)
{
    const ptrdiff_t i = row * task->columns + c;
    if (has_array(task))
        return (Two){array_of(task, Q)[i], has_lost(task) ? array_of(task, Q_ERROR)[i] : 0.0};
    if (c == tile->y[row])
        return (Two){tile->q_y[row], tile->q_y_error[row]};
    return is_spread(task) && c < classes ? (Two){tile->q_other[row], tile->q_other_error[row]}
                                          : (Two){0.0, 0.0};
}

/* Choose the classes of a row whose e are to be computed again: those in which the two terms of a
   derivative are close, as far as is known, and those that are more than a share of the sum. */
INLINE ptrdiff_t choose(const Task *task, ptrdiff_t start, ptrdiff_t row, const Tile *tile,
                        double share)
{
    const ptrdiff_t at = row * task->columns, classes = classes_of(task, start + row);
    double *const chosen = array_of(task, TERMS) + at;
    const double *const e = array_of(task, E) + at, *const q = array_of(task, Q) + at;
    const double least = tile->total[row] * share / (double)classes, factor = tile->factor[row];
    const double by_t = tile->by_t[row], close = 2.0 * tile->close[row];
    const double other = is_spread(task) ? tile->q_other[row] * by_t : 0.0;
    ptrdiff_t count = 0;
    for (ptrdiff_t c = 0; c < classes; c++) {
        const double v = has_array(task) ? q[c] * by_t : other;
        chosen[count] = (double)c;
        count += (e[c] >= least) | (fabs(fma(e[c], factor, -v)) < close * v) |
                 (c == tile->one[row]) | (c == tile->y[row]);
    }
    return count;
}

/* What is computed again of a row, with all digits. */
typedef struct {
    Two rest, total, log_total, slope, others, sum;
    double lost; /* What these may have lost, of themselves. */
} Again;

/* Sum a row again, from its e. */
INLINE void sum_again(const Task *task, ptrdiff_t start, ptrdiff_t row, const Tile *tile,
                      Again *again)
{
    const ptrdiff_t columns = task->columns, at = row * columns, *const one = &tile->one[row];
    double e, e_error, sum, error, small, smallest;
    sum_others(array_of(task, E) + at, 1, columns, one, &e, &sum, &error);
    sum_others(array_of(task, E_ERROR) + at, 1, columns, one, &e_error, &small, &smallest);
    again->rest = added(two_sum(sum, error), two_sum(small, smallest));
    again->total = added(again->rest, (Two){e, e_error});
    again->others = two_sum(tile->others[row], tile->others_error[row]);
    again->sum = added(again->others, (Two){tile->q_one[row], tile->q_one_error[row]});
    again->log_total = again->slope = (Two){0.0, 0.0};
    if (!task->z_scale.at)
        return;
    /* One step of Newton's method. */
    const double log = log_of_total(again->total.x, again->total.lost).x;
    const Two x = times(again->total, exact_exponential((Two){-log, 0.0}));
    const Two less = added((Two){x.x * (0x1p-400 * 0x1p-400), x.lost * (0x1p-400 * 0x1p-400)},
                           (Two){-1.0, 0.0});
    const Two corrected = added(less, (Two){-0.5 * less.x * less.x, 0.0});
    const double scale = number_of(or_else(task->scale, &ONE), start + row);
    const double divisor = number_of(or_else(task->z_divisor, &ONE), start + row);
    const Two z = over(times((Two){number_of(task->z_scale, start + row), 0.0},
                             (Two){scale, 0.0}),
                       (Two){divisor == 0.0 ? INFINITY : divisor, 0.0});
    again->log_total = added((Two){log, 0.0}, corrected);
    again->slope = times((Two){2.0 * z.x, 2.0 * z.lost}, again->log_total);
}

/* Return the numerator of a derivative, and in `size` the larger of its two terms. */
INLINE Two numerator(const Task *task, const Tile *tile, ptrdiff_t row, ptrdiff_t c, Two q,
                     const Again *again, double *size)
{
    const ptrdiff_t i = row * task->columns + c;
    const int is_one = c == tile->one[row];
    const Two e = {array_of(task, E)[i], array_of(task, E_ERROR)[i]};
    const Two s = is_one ? again->others : again->sum;
    const Two lost = times(q, is_one ? again->rest : again->total);
    const double gained = (s.x + fabs(again->slope.x)) * e.x;
    *size = gained > lost.x ? gained : lost.x;
    return added(times(added(s, again->slope), e), minus(lost));
}

/* Write the derivatives of a row again, those whose terms are close. Return how far the closest are
   from one another, by the larger of them. */
INLINE double write_again(const Task *task, ptrdiff_t start, ptrdiff_t row, const Tile *tile,
                          const Again *again, ptrdiff_t count, double close, int is_float)
{
    const ptrdiff_t classes = classes_of(task, start + row);
    const double *const chosen = array_of(task, TERMS) + row * task->columns;
    const Two by_t = {tile->by_t[row], tile->by_t_error[row]}, by_s = over(by_t, again->total);
    double closest = 1.0;
    for (ptrdiff_t i = 0; i < count; i++) {
        const ptrdiff_t c = (ptrdiff_t)chosen[i], at = row * task->columns + c;
        double size;
        const Two q = weight_of(task, tile, row, c, classes);
        const Two x = numerator(task, tile, row, c, q, again, &size);
        if (!(fabs(x.x) < close * size))
            continue;
        closest = fabs(x.x) < closest * size ? fabs(x.x) / size : closest;
        const double slope = task->softcap.at ? array_of(task, SLOPES)[at] : 1.0;
        put(task->grad_logits, start * task->columns + at,
            0.0 + product(x.x, x.lost, by_s.x, by_s.lost) * slope, is_float);
    }
    return closest;
}

/* Return whether all classes of a row have the same logit and the same target weight, so that each
   derivative is exactly 0: in an untrained network whose last layer is 0, all rows may be such. */
INLINE int are_equal(const Task *task, ptrdiff_t start, ptrdiff_t row, const Tile *tile,
                     int is_float)
{
    const ptrdiff_t at = (start + row) * task->columns, from = (start + row) * task->targets.step;
    const Double *const w =
        (const Double *)task->class_weights.at + (start + row) * task->class_weights.step;
    const int are_weighed = task->class_weights.at != NULL, have_targets = tile->kept[row] != 0.0;
    if (task->z_scale.at || (have_targets && !task->targets.at))
        return 0;
    for (ptrdiff_t c = classes_of(task, start + row) - 1; c > 0; c--)
        if ((get(task->logits, at + c, is_float) != get(task->logits, at, is_float)) ||
            (have_targets && get(task->targets.at, from + c, (int)task->are_float) !=
                                 get(task->targets.at, from, (int)task->are_float)) ||
            (are_weighed && w[c] != w[0]))
            return 0;
    return 1;
}

/* Compute again, with twice the digits, what has lost some of them in a row: derivatives whose two
   terms are close, and a z-loss near 0. Return whether that was not enough. */
INLINE int compute_again(const Task *task, ptrdiff_t start, ptrdiff_t row, const Tile *tile,
                         int is_float)
{
    const double cap = task->softcap.at ? number_of(task->softcap, start + row) : 0.0;
    const double columns = (double)task->columns;
    const int is_sum = (fabs(tile->sum[row] + tile->slope[row]) < 2.0 * tile->least[row]) |
                       (task->z_scale.at && fabs(tile->log_total[row]) < 0.5);
    /* First attempts do without the e that are too small to be seen: the closer two terms are, the
       more are. */
    double share = in_parts(task, is_float) && !is_sum ? 0x1p-2 : 0x1p-110, closest = 0.0;
    Again again;
    if (are_equal(task, start, row, tile, is_float)) {
        if (task->grad_logits)
            memset(place(task->grad_logits, (start + row) * task->columns, is_float), 0,
                   (size_t)bytes_of(task->columns, is_float));
        return 0;
    }
    /* Those that are not computed again have lost nothing that could be seen. */
    if (!in_parts(task, is_float))
        memset(array_of(task, E_ERROR) + row * task->columns, 0,
               (size_t)bytes_of(task->columns, 0));
    for (;;) {
        const ptrdiff_t count = choose(task, start, row, tile, is_sum ? 0.0 : share);
        exponentials_again(task, start, row, tile, array_of(task, TERMS) + row * task->columns,
                           count, is_float);
        sum_again(task, start, row, tile, &again);
        if (task->grad_logits)
            closest = write_again(task, start, row, tile, &again, count,
                                  is_sum ? 2.0 : fmax(0.25, 2.0 * tile->close[row]), is_float);
        if (share < 0x1p-20 || closest >= tile->close[row] * share)
            break;
        share = share > 0x1p-6 ? 0x1p-6 : 0x1p-110;
    }
    const double lost = 0x1p-96 * (1.0 + cap * tile->inverse_t[row]) + 0x1p-112 * columns * columns;
    const double log = fabs(again.log_total.x);
    if (task->z_scale.at && log < 0.5 && tile->z[row] > 0.0) {
        const Two square = times(again.log_total, again.log_total);
        const double z_loss = tile->z[row] * square.x;
        if (task->loss)
            task->loss[start + row] += z_loss - tile->z_loss[row];
        if (task->z_loss)
            task->z_loss[start + row] = z_loss;
        if (log < lost * 0x1p54)
            return 1;
    }
    return task->grad_logits && closest < lost * (is_float ? 0x1p27 : 0x1p54);
}

/* Have rows that do not count no loss and no gradients. */
INLINE void ignore(const Task *task, ptrdiff_t start, ptrdiff_t rows, int is_float)
{
    const unsigned char *const counted = task->counted.at;
    const size_t size = (size_t)bytes_of(task->columns, is_float);
    for (ptrdiff_t row = start; row < start + rows; row++) {
        if (counted[row * task->counted.step])
            continue;
        if (task->loss)
            task->loss[row] = 0.0;
        if (task->z_loss)
            task->z_loss[row] = 0.0;
        if (task->grad_probs)
            memset(place(task->grad_probs, row * task->columns, is_float), 0, size);
        if (task->grad_logits)
            memset(place(task->grad_logits, row * task->columns, is_float), 0, size);
    }
}

/* Mark the rows that are left, and return how many they are. */
INLINE ptrdiff_t mark(const Tile *tile, ptrdiff_t rows, unsigned char *left)
{
    ptrdiff_t count = 0;
    for (ptrdiff_t row = 0; row < rows; row++) {
        const double rest = tile->rest[row], total = tile->total[row], e_one = tile->e_one[row];
        /* NaN is no smaller and no larger than anything. */
        left[row] = !((rest >= SMALLEST_REST) & (rest >= SMALLEST_RATIO * e_one) &
                      (e_one >= SMALLEST_E_Y) & (total >= SMALLEST_SUM) & (total <= LARGEST_SUM) &
                      (tile->usual[row] >= 0.0));
        count += left[row];
    }
    return count;
}

/* Compute again what has lost digits in some rows. Mark those where that was not enough, and return
   how many they are. */
INLINE ptrdiff_t mend(const Task *task, ptrdiff_t start, ptrdiff_t rows, Tile *tile, int is_float)
{
    const unsigned char *const counted = task->counted.at;
    ptrdiff_t count = 0;
    uint64_t any = 0;
    for (ptrdiff_t row = 0; row < rows; row++)
        any |= tile->flags[row];
    for (ptrdiff_t row = 0; row < rows && any >> 63; row++) {
        unsigned char *const left = &task->left[start + row];
        if (!(tile->flags[row] >> 63) || *left ||
            (counted && !counted[(start + row) * task->counted.step]))
            continue;
        *left = compute_again(task, start, row, tile, is_float) ? 2 : 0;
        count += *left != 0;
    }
    return count;
}

/* Compute all rows, as many at a time as fit into the nearest cache. Return how many are left. */
INLINE ptrdiff_t compute(const Task *given, int is_float)
{
    /* A copy, which nothing that is written could change. */
    Task copy = *given;
    const Task *const task = &copy;
    copy.memory += (LINE - (uintptr_t)given->memory % LINE) % LINE / sizeof(double);
    const ptrdiff_t fitting = TILE / task->columns < ROWS ? TILE / task->columns : ROWS;
    const ptrdiff_t step = fitting > 0 ? fitting : 1;
    ptrdiff_t left = 0;
    Tile tile;
    for (ptrdiff_t start = 0; start < task->rows; start += step) {
        const ptrdiff_t rows = task->rows - start < step ? task->rows - start : step;
        if (start == 0 || !are_alike(task))
            factors(task, start, rows, &tile, is_float);
        if (is_long(task))
            exponentials_of_long_rows(task, start, rows, &tile, is_float);
        else
            exponentials_of_rows(task, start, rows, &tile, is_float);
        weigh(task, start, rows, &tile);
        if (task->num_classes.at)
            blank(task, start, rows);
        sums(task, start, rows, &tile, is_float);
        if (is_spread(task))
            costs(task, start, rows, &tile, is_float);
        spread(task, &tile, start, rows, is_float);
        finish(task, &tile, start, rows, is_float);
        if (task->counted.at)
            ignore(task, start, rows, is_float);
        left += mark(&tile, rows, task->left + start);
        if (!is_bare(task))
            left += mend(task, start, rows, &tile, is_float);
    }
    return left;
}

/* Target probabilities, and what is found of each row: its sum, NaN if a number is negative,
   infinite or NaN or the sum overflows, and where the largest is. */
typedef struct {
    const void *targets; /* (N, C) */
    ptrdiff_t rows, columns;
    double *sums;       /* (N,): to a few last places. */
    ptrdiff_t *largest; /* (N,) */
} Check;

/* Check a row of target probabilities. */
INLINE void check_row(const Check *check, ptrdiff_t row, int is_float)
{
    const ptrdiff_t columns = check->columns;
    const void *const targets = place(check->targets, row * columns, is_float);
    Wide sums[VECTORS] = {{0}}, most[VECTORS] = {{0}};
    double sum = 0.0, largest = 0.0;
    ptrdiff_t i = 0;
    for (; i + SIDES <= columns; i += SIDES)
        for (int k = 0; k < VECTORS; k++) {
            const Wide x = wide(targets, i + 8 * k, is_float);
            const WidePlaces is_more = x > most[k];
            sums[k] += nan_if(x < 0.0, x);
            most[k] = CHOSEN(is_more, x, most[k]);
        }
    for (; i < columns; i++) {
        const double x = get(targets, i, is_float);
        sum += x < 0.0 ? NAN : x;
        largest = x > largest ? x : largest;
    }
    for (int k = 0; k < VECTORS; k++)
        for (ptrdiff_t lane = 0; lane < 2 * LANES; lane++) {
            sum += sums[k][lane];
            largest = most[k][lane] > largest ? most[k][lane] : largest;
        }
    check->sums[row] = sum < INFINITY ? sum : NAN;
    check->largest[row] = find(targets, columns, largest, is_float);
}

/* Check short rows, eight at a time. */
INLINE void check_short_rows(const Check *check, ptrdiff_t start, int is_float)
{
    const ptrdiff_t columns = check->columns, from = start * columns;
    Wide sum = {0}, most = {0};
    WidePlaces where = {0};
    for (ptrdiff_t c = 0; c < columns; c++) {
#define OF_ROW(lane) get(check->targets, from + (lane) * columns + c, is_float)
        const Wide x = {OF_ROW(0), OF_ROW(1), OF_ROW(2), OF_ROW(3),
                        OF_ROW(4), OF_ROW(5), OF_ROW(6), OF_ROW(7)};
        const WidePlaces is_more = x > most;
        sum += nan_if(x < 0.0, x);
        where = CHOSEN(is_more, (WidePlaces){0} + c, where);
        most = CHOSEN(is_more, x, most);
    }
    for (ptrdiff_t lane = 0; lane < 2 * LANES; lane++)
        check->sums[start + lane] = sum[lane] < INFINITY ? sum[lane] : NAN;
    memcpy(check->largest + start, &where, sizeof where);
}

/* Check rows of target probabilities. */
INLINE void check_targets(const Check *check, int is_float)
{
    ptrdiff_t row = 0;
    for (; check->columns <= NARROW && row + 2 * LANES <= check->rows; row += 2 * LANES)
        check_short_rows(check, row, is_float);
    for (; row < check->rows; row++)
        check_row(check, row, is_float);
}

/* The kernel is compiled once for each kind of processor. */
#define KERNEL(PROCESSOR, TARGET)                                        \
    TARGET ptrdiff_t softgrad_##PROCESSOR##_double(const Task *task)     \
    {                                                                    \
        return compute(task, 0);                                         \
    }                                                                    \
    TARGET ptrdiff_t softgrad_##PROCESSOR##_float(const Task *task)      \
    {                                                                    \
        return compute(task, 1);                                         \
    }                                                                    \
    TARGET void softgrad_##PROCESSOR##_check_double(const Check *check)  \
    {                                                                    \
        check_targets(check, 0);                                         \
    }                                                                    \
    TARGET void softgrad_##PROCESSOR##_check_float(const Check *check)   \
    {                                                                    \
        check_targets(check, 1);                                         \
    }

#ifdef __x86_64__
KERNEL(avx512, __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"))))
KERNEL(avx2, __attribute__((target("avx2,fma"))))
#else
KERNEL(neon, )
#endif

/* Sum numbers in two parts. */
double softgrad_sum(const double *numbers, ptrdiff_t count, double *error)
{
    double sum;
    sum_wide(numbers, count, &sum, error);
    return sum;
}

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
