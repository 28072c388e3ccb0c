//! The two clocks.

use nix::time::{ClockId, clock_gettime};

/// Milliseconds on a clock that only goes forward and stands still while the machine is
/// suspended (CLOCK_MONOTONIC).
#[must_use]
pub fn monotonic_ms() -> u64 {
    milliseconds(ClockId::CLOCK_MONOTONIC)
}

/// Milliseconds since the Unix epoch (CLOCK_REALTIME); it jumps when somebody sets the clock.
#[must_use]
pub fn wall_ms() -> u64 {
    milliseconds(ClockId::CLOCK_REALTIME)
}

/// Milliseconds since boot, time in suspend included: what the start times in `/proc` count.
pub(super) fn boot_ms() -> u64 {
    milliseconds(ClockId::CLOCK_BOOTTIME)
}

/// These clocks exist on every Linux, so the call cannot fail; a time before the epoch reads 0.
fn milliseconds(clock: ClockId) -> u64 {
    let Ok(now) = clock_gettime(clock) else {
        return 0;
    };
    let whole = u64::try_from(now.tv_sec()).unwrap_or(0).saturating_mul(1_000);
    whole.saturating_add(u64::try_from(now.tv_nsec() / 1_000_000).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_moves_on_and_the_wall_clock_agrees_with_the_standard_library() {
        let before = monotonic_ms();
        while monotonic_ms() == before {
            std::thread::yield_now();
        }
        assert!(monotonic_ms() > before);
        let epoch = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
        assert!(epoch.abs_diff(u128::from(wall_ms())) < 10_000);
    }
}
