//! How fast the processor's time stamp counter goes, for the kernel of an emulated guest.
//!
//! QEMU's emulation passes the counter through. A kernel learns its rate from the interval timer, reads it too slowly
//! when the emulation itself is emulated, and then waits for ever: on a board without ACPI's fixed hardware
//! (microvm's) Linux starts its local timer by that rate or, without it, by ticks of a clock that is not there
//! (arch/x86/kernel/apic/apic.c, calibrate_APIC_clock). So it is told: `tsc_early_khz=`.

use std::time::{Duration, Instant};
use tokio::time::sleep;
use vmatic_sys::calls::time_stamp;

/// How long the counter is watched. What a reading is late, a microsecond or so, is a fifty-thousandth of it.
const WATCHED: Duration = Duration::from_millis(50);
/// How often counter and clock are read together; the quickest of these readings counts.
const READINGS: usize = 16;

/// The boot word for a Linux kernel: the counter's rate as measured now, in thousands a second.
pub async fn boot_word() -> String {
    let (count, at) = reading();
    sleep(WATCHED).await;
    let (later, end) = reading();
    format!("tsc_early_khz={}", khz(later.wrapping_sub(count), end.duration_since(at)))
}

/// The counter, and when it was so. A process that loses its processor between the two reads them far apart: so they
/// are read often, and those count that were closest.
fn reading() -> (u64, Instant) {
    let read = || {
        let before = Instant::now();
        let count = time_stamp();
        (before.elapsed(), count, before)
    };
    let (took, count, before) = (1..READINGS).fold(read(), |best, _| {
        let next = read();
        if next.0 < best.0 { next } else { best }
    });
    (count, before + took / 2)
}

fn khz(counted: u64, time: Duration) -> u128 {
    u128::from(counted) * 1_000_000 / time.as_nanos().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_counts_in_a_millisecond() {
        assert_eq!(khz(2_596_140_000, Duration::from_secs(1)), 2_596_140);
        assert_eq!(khz(0, Duration::ZERO), 0);
        assert!(khz(u64::MAX, Duration::from_nanos(1)) > 0);
    }

    #[tokio::test]
    async fn the_counter_of_this_machine_has_one_rate() {
        let rate = || async { boot_word().await.strip_prefix("tsc_early_khz=").unwrap().parse::<f64>().unwrap() };
        let (one, other) = (rate().await, rate().await);
        assert!(one > 100_000.0 && (one / other - 1.0).abs() < 0.01, "{one} and {other} kHz");
    }
}
