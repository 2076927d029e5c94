//! Which instruction set does a loop run on?
//!
//! A loop's body is written once as an `#[inline(always)]` function; [`per_path!`] compiles it for AVX-512, for
//! AVX2 with FMA and for the baseline, and makes a function that takes the [`Path`] to run.

/// An instruction set that this machine is known to have. Only [`Path::best`] and [`Path::available`] make one,
/// after asking the processor: that is what makes the calls in [`per_path!`] sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    level: Level,
    /// AVX-512-BF16: products of bf16.
    bf16: bool,
    /// AVX-512-VNNI: products of bytes.
    vnni: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "other architectures run the baseline"))]
pub(crate) enum Level {
    Baseline,
    Avx2,
    Avx512,
}

impl Path {
    const BASELINE: Self = Self { level: Level::Baseline, bf16: false, vnni: false };
    #[cfg(target_arch = "x86_64")]
    const AVX2: Self = Self { level: Level::Avx2, ..Self::BASELINE };
    #[cfg(target_arch = "x86_64")]
    const AVX512: Self = Self { level: Level::Avx512, ..Self::BASELINE };

    /// The widest instruction set of this machine.
    pub(crate) fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if has_avx512() {
                let bf16 = is_x86_feature_detected!("avx512bf16");
                return Self { bf16, vnni: is_x86_feature_detected!("avx512vnni"), ..Self::AVX512 };
            }
            if has_avx2() {
                return Self::AVX2;
            }
        }
        Self::BASELINE
    }

    /// Every instruction set of this machine, to compare them.
    #[cfg(test)]
    pub(crate) fn available() -> Vec<Self> {
        let mut paths = vec![Self::BASELINE];
        #[cfg(target_arch = "x86_64")]
        {
            paths.extend(has_avx2().then_some(Self::AVX2));
            paths.extend(has_avx512().then_some(Self::AVX512));
        }
        paths.extend((!paths.contains(&Self::best())).then_some(Self::best()));
        paths
    }

    pub(crate) fn level(self) -> Level {
        self.level
    }

    /// Whether bf16 is multiplied by an instruction; the level is then AVX-512.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn has_bf16(self) -> bool {
        self.bf16
    }

    /// Whether bytes are multiplied by an instruction; the level is then AVX-512.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn has_vnni(self) -> bool {
        self.vnni
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    has_avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
}

/// `per_path!(fn name(a: A, b: B) -> R = body)` makes `fn name(path: Path, a: A, b: B) -> R`; `name` may have one type
/// parameter with one bound. With `= body_avx512, body_avx2, body_baseline` each instruction set gets a body (a tile
/// shape) of its own.
macro_rules! per_path {
    (fn $name:ident $(<$generic:ident: $bound:path>)? ($($argument:ident: $kind:ty),* $(,)?) $(-> $result:ty)?
        = $body:expr) => {
        $crate::dispatch::per_path!(fn $name $(<$generic: $bound>)? ($($argument: $kind),*) $(-> $result)? = $body, $body, $body);
    };
    (fn $name:ident $(<$generic:ident: $bound:path>)? ($($argument:ident: $kind:ty),* $(,)?) $(-> $result:ty)?
        = $avx512:expr, $avx2:expr, $baseline:expr) => {
        fn $name $(<$generic: $bound>)? (
            path: $crate::dispatch::Path, $($argument: $kind),*
        ) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
                fn on_avx512 $(<$generic: $bound>)? ($($argument: $kind),*) $(-> $result)? {
                    $avx512($($argument),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn on_avx2 $(<$generic: $bound>)? ($($argument: $kind),*) $(-> $result)? {
                    $avx2($($argument),*)
                }
                match path.level() {
                    // SAFETY: a `Path` of this level exists only after the processor reported these features.
                    $crate::dispatch::Level::Avx512 => return unsafe { on_avx512($($argument),*) },
                    // SAFETY: as above.
                    $crate::dispatch::Level::Avx2 => return unsafe { on_avx2($($argument),*) },
                    $crate::dispatch::Level::Baseline => {}
                }
            }
            let _ = path.level();
            $baseline($($argument),*)
        }
    };
}
pub(crate) use per_path;
