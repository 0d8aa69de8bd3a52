//! Sines and cosines of angles in degrees, two angles at once, without a branch and without a call.
//!
//! Owns: the error bound that the distances rest on: each value is within 7e-16 of the true one.
//!
//! An angle is first brought into -45 to 45 degrees by quarter turns. In degrees that is exact: a
//! quarter turn is a whole number, and what is left has no bit that the angle has not. Then:
//!
//! - To radians: the factor and the product are each within 2^-53 of themselves, the result is at
//!   most 0.79, so it is off by at most 1.8e-16, and sine and cosine by no more than that.
//! - The polynomials are those of FreeBSD's msun (`k_sin.c`, `k_cos.c`), which are within 2^-58 of
//!   the functions on this interval: 4e-18.
//! - Rounding: the last addition of the sine is of numbers below 0.79 and its correction below
//!   0.09, so 1.2e-16 and 4e-17 with its own rounding; of the cosine, whose terms are below 1, 0.32 and 0.02,
//!   two additions and the halving: 3e-16.
//!
//! Together at most 4e-16 for the sine and 5e-16 for the cosine. The tests compare with the standard
//! library, which is within 3e-16 of the truth itself.

/// Degrees to radians.
const RADIANS: f64 = 0.017_453_292_519_943_295;

/// Adding it to a number below 2^51 leaves no bit for a fraction: it rounds, and the lowest bits of
/// the sum are those of the whole number.
const ROUNDING: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52

#[allow(clippy::excessive_precision)] // With the digits of the source.
const SINE: [f64; 6] = [
    -1.666_666_666_666_663_243_48e-1,
    8.333_333_333_322_489_461_24e-3,
    -1.984_126_982_985_794_931_34e-4,
    2.755_731_370_707_006_767_89e-6,
    -2.505_076_025_340_686_341_95e-8,
    1.589_690_995_211_550_102_21e-10,
];

#[allow(clippy::excessive_precision)] // With the digits of the source.
const COSINE: [f64; 6] = [
    4.166_666_666_666_660_190_37e-2,
    -1.388_888_888_887_410_957_49e-3,
    2.480_158_728_947_672_941_78e-5,
    -2.755_731_435_139_066_330_35e-7,
    2.087_572_321_298_174_827_90e-9,
    -1.135_964_755_778_819_482_65e-11,
];

/// Two numbers at a time, for which processors have instructions.
#[inline(always)]
fn both<T: Copy, U>(pair: [T; 2], change: impl Fn(T) -> U) -> [U; 2] {
    let [a, b] = pair;
    [change(a), change(b)]
}

#[inline(always)]
fn polynomial(coefficients: [f64; 6], at: f64) -> f64 {
    let [a, b, c, d, e, f] = coefficients;
    a + at * (b + at * (c + at * (d + at * (e + at * f))))
}

/// Sines and cosines of two angles of -180 to 180 degrees, each with its cosine behind it. An angle of
/// a whole number of quarter turns gives exactly 0, 1 or -1.
#[inline(always)]
pub(super) fn sin_cos_degrees(degrees: [f64; 2]) -> [(f64, f64); 2] {
    let quarters = both(degrees, |degrees| degrees * (1.0 / 90.0) + ROUNDING);
    let turned = both(quarters, |quarters| (quarters - ROUNDING) * 90.0);
    let angles = [degrees[0] - turned[0], degrees[1] - turned[1]];
    let angles = both(angles, |degrees| degrees * RADIANS);
    let sines = both(angles, |angle| {
        let square = angle * angle;
        angle + angle * square * polynomial(SINE, square)
    });
    let cosines = both(angles, |angle| {
        let square = angle * angle;
        1.0 - (0.5 * square - square * square * polynomial(COSINE, square))
    });
    let one = |number: usize| turn(quarters[number].to_bits(), sines[number], cosines[number]);
    [one(0), one(1)]
}

/// Turns a point of the circle by quarters, of which the two lowest bits count: an odd one swaps sine
/// and cosine, and each changes its sign every two.
#[inline(always)]
fn turn(quarter: u64, sine: f64, cosine: f64) -> (f64, f64) {
    let (sine, cosine) = (sine.to_bits(), cosine.to_bits());
    let swapped = (sine ^ cosine) & (quarter & 1).wrapping_neg();
    let negative = |quarter: u64| (quarter & 2) << 62;
    (
        f64::from_bits(sine ^ swapped ^ negative(quarter)),
        f64::from_bits(cosine ^ swapped ^ negative(quarter + 1)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of one angle, which is the same in either place.
    fn sin_cos(degrees: f64) -> (f64, f64) {
        let [(sine, cosine), _] = sin_cos_degrees([degrees, 1.0]);
        assert_eq!(sin_cos_degrees([2.0, degrees])[1], (sine, cosine));
        (sine, cosine)
    }

    fn assert_near(degrees: f64) {
        let (sine, cosine) = sin_cos(degrees);
        let (sine_expected, cosine_expected) = degrees.to_radians().sin_cos();
        // To radians first costs the library's way up to 6e-16 for angles of up to 180 degrees.
        let off = (sine - sine_expected)
            .abs()
            .max((cosine - cosine_expected).abs());
        assert!(off < 1e-15, "{degrees} degrees: off by {off:e}");
    }

    #[test]
    fn every_angle_is_that_of_the_standard_library_within_the_bound() {
        let steps = 720_000;
        (-steps..=steps).for_each(|step| assert_near(f64::from(step) / 4000.0));
        // Around each eighth of a turn, where the halves of the interval meet.
        for eighth in -4..=4 {
            let (mut above, mut below) = (f64::from(eighth) * 45.0, f64::from(eighth) * 45.0);
            for _ in 0..1000 {
                (above, below) = (above.next_up(), below.next_down());
                assert_near(above.min(180.0));
                assert_near(below.max(-180.0));
            }
        }
        for exponent in 0..320 {
            let small = 10.0_f64.powi(-exponent);
            assert_near(small);
            assert_near(-small);
        }
    }

    #[test]
    fn sine_and_cosine_are_a_point_of_the_circle_at_random_angles() {
        let mut state = 1_u64;
        for _ in 0..1_000_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let degrees = (state >> 11) as f64 / (1_u64 << 53) as f64 * 360.0 - 180.0;
            assert_near(degrees);
            let (sine, cosine) = sin_cos(degrees);
            assert!((sine * sine + cosine * cosine - 1.0).abs() < 1e-15);
        }
    }

    #[test]
    fn quarter_turns_are_exact() {
        for (degrees, expected) in [
            (0.0, (0.0, 1.0)),
            (90.0, (1.0, 0.0)),
            (-90.0, (-1.0, 0.0)),
            (180.0, (0.0, -1.0)),
            (-180.0, (0.0, -1.0)),
        ] {
            assert_eq!(sin_cos(degrees), expected, "{degrees}");
        }
    }
}
