//! Which instruction set does attention run on?

use crate::dispatch::{Level, Path};

/// An instruction set that this machine is known to have. Only [`Route::best`] and [`Route::available`] make one,
/// after asking the processor: that is what makes the calls in [`per_route!`] sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route(Arithmetic);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    F32(Level),
    /// Products of bf16 pairs, where the elements are bf16; else as AVX-512.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "other architectures run the baseline")
    )]
    Bf16,
}

impl Route {
    /// The fastest of this machine.
    pub(super) fn best() -> Self {
        Self::with_pairs(Path::best()).unwrap_or(Self(Arithmetic::F32(Path::best().level())))
    }

    /// All of this machine, to compare them.
    #[cfg(test)]
    pub(super) fn available() -> Vec<Self> {
        let paths = Path::available();
        let wide = paths.iter().map(|path| Self(Arithmetic::F32(path.level())));
        wide.chain(paths.iter().filter_map(|path| Self::with_pairs(*path))).collect()
    }

    fn with_pairs(path: Path) -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if path.level() == Level::Avx512 && is_x86_feature_detected!("avx512bf16") {
            return Some(Self(Arithmetic::Bf16));
        }
        let _ = path;
        None
    }

    pub(super) fn arithmetic(self) -> Arithmetic {
        self.0
    }
}

/// `per_route!(fn name<E>(a: A, b: B) = body)` makes `unsafe fn name<E>(route: Route, a: A, b: B)`, which runs
/// `body::<K>(a, b)` with the [`Kernel`](super::kernel::Kernel) of the route, compiled for its instruction set.
macro_rules! per_route {
    (fn $name:ident($($argument:ident: $kind:ty),* $(,)?) = $body:ident) => {
        /// # Safety
        /// The promises of the body.
        unsafe fn $name<E: $crate::gemm::Element>(
            route: $crate::attention::route::Route,
            $($argument: $kind),*
        ) {
            use $crate::attention::kernel::Wide;
            use $crate::attention::vector::Four;
            #[cfg(target_arch = "x86_64")]
            {
                use std::arch::x86_64::{__m256, __m512};
                use $crate::attention::{kernel::Pairs, route::Arithmetic};
                use $crate::dispatch::Level;
                #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
                unsafe fn on_bf16<E: $crate::gemm::Element>($($argument: $kind),*) {
                    // SAFETY: the caller's promise.
                    unsafe { $body::<Pairs<E>>($($argument),*) }
                }
                #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
                unsafe fn on_avx512<E: $crate::gemm::Element>($($argument: $kind),*) {
                    // SAFETY: the caller's promise.
                    unsafe { $body::<Wide<__m512, E>>($($argument),*) }
                }
                #[target_feature(enable = "avx2,fma")]
                unsafe fn on_avx2<E: $crate::gemm::Element>($($argument: $kind),*) {
                    // SAFETY: the caller's promise.
                    unsafe { $body::<Wide<__m256, E>>($($argument),*) }
                }
                // SAFETY: a `Route` exists only after the processor reported its features; the rest is the caller's
                // promise.
                unsafe {
                    match route.arithmetic() {
                        Arithmetic::Bf16 if E::PRECISION == $crate::gemm::Precision::Bf16 => return on_bf16::<E>($($argument),*),
                        Arithmetic::Bf16 | Arithmetic::F32(Level::Avx512) => {
                            return on_avx512::<E>($($argument),*);
                        }
                        Arithmetic::F32(Level::Avx2) => return on_avx2::<E>($($argument),*),
                        Arithmetic::F32(Level::Baseline) => {}
                    }
                }
            }
            let _ = route.arithmetic();
            // SAFETY: the caller's promise; this needs no feature of the processor.
            unsafe { $body::<Wide<Four, E>>($($argument),*) }
        }
    };
}
pub(super) use per_route;
