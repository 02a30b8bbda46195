//! The processor's time stamp counter: whether a guest can go on with another one.

/// How much faster or slower, in thousandths, the processor's counter may run: a guest measures it once.
const TSC_PERMILLE_MAX: u64 = 50;

/// Whether a guest that measured the one frequency keeps time at the other (kHz).
pub(crate) fn same_tsc(one: u32, other: u32) -> bool {
    u64::from(one.abs_diff(other)) * 1000 <= u64::from(one) * TSC_PERMILLE_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_keeps_time_at_nearly_the_same_frequency_only() {
        assert!(same_tsc(1_000_000, 1_040_000) && !same_tsc(1_000_000, 2_000_000) && !same_tsc(0, 1));
    }
}
