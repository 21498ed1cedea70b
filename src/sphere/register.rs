//! Numbers side by side in one register: of 256 bits as the program is built for, of 512 where the processor has such. What each
//! number becomes does not depend on the width.

use wide::f64x4;

/// A register of `LEN` numbers.
pub(super) trait Register: Copy {
    const LEN: usize;
    fn splat(x: f64) -> Self;
    fn load(from: &[f64]) -> Self;
    fn store(self, to: &mut [f64]);
    /// self · b + c, rounded once.
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// self · b − c, rounded once.
    fn mul_sub(self, b: Self, c: Self) -> Self;
}

impl Register for f64x4 {
    const LEN: usize = 4;

    #[inline(always)]
    fn splat(x: f64) -> Self {
        f64x4::splat(x)
    }

    #[inline(always)]
    fn load(from: &[f64]) -> Self {
        f64x4::from([from[0], from[1], from[2], from[3]])
    }

    #[inline(always)]
    fn store(self, to: &mut [f64]) {
        to[..4].copy_from_slice(&self.to_array());
    }

    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        f64x4::mul_add(self, b, c)
    }

    #[inline(always)]
    fn mul_sub(self, b: Self, c: Self) -> Self {
        f64x4::mul_sub(self, b, c)
    }
}

/// 512 bits.
#[cfg(all(target_arch = "x86_64", target_feature = "fma"))]
pub(super) mod wide512 {
    use super::Register;
    use std::arch::x86_64::*;
    use std::sync::LazyLock;

    #[derive(Clone, Copy)]
    pub struct Eight(__m512d);

    /// Whether the processor has such registers: only then may [`Eight`] be used.
    pub fn available() -> bool {
        static HAS: LazyLock<bool> = LazyLock::new(|| is_x86_feature_detected!("avx512f"));
        *HAS
    }

    // SAFETY of all: whoever uses the type has asked whether it is available, and slices have eight numbers.
    impl Register for Eight {
        const LEN: usize = 8;

        #[inline(always)]
        fn splat(x: f64) -> Self {
            unsafe { Eight(_mm512_set1_pd(x)) }
        }

        #[inline(always)]
        fn load(from: &[f64]) -> Self {
            assert!(from.len() >= 8);
            unsafe { Eight(_mm512_loadu_pd(from.as_ptr())) }
        }

        #[inline(always)]
        fn store(self, to: &mut [f64]) {
            assert!(to.len() >= 8);
            unsafe { _mm512_storeu_pd(to.as_mut_ptr(), self.0) }
        }

        #[inline(always)]
        fn mul_add(self, b: Self, c: Self) -> Self {
            unsafe { Eight(_mm512_fmadd_pd(self.0, b.0, c.0)) }
        }

        #[inline(always)]
        fn mul_sub(self, b: Self, c: Self) -> Self {
            unsafe { Eight(_mm512_fmsub_pd(self.0, b.0, c.0)) }
        }
    }
}
