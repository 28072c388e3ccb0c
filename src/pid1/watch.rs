//! What process 1 waits for: signals. What each of them asks for.

use std::time::Duration;

use crate::kernel::poll::{Interest, Poll};
use crate::kernel::signals::Signals;
use crate::kernel::{clock, reap};
use crate::power::Power;

/// SIGPWR is what a daemon for uninterruptible power supplies sends, SIGWINCH a key of the console
/// (kbrequest) that is for nobody here.
const CAUGHT: [i32; 8] = [
    libc::SIGCHLD,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGINT,
    libc::SIGTERM,
    libc::SIGPWR,
    libc::SIGHUP,
    libc::SIGWINCH,
];

/// The most dead that are buried in one turn.
const BURIED_A_TURN: usize = 1_024;

/// What a signal to process 1 asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Down(Power),
    Reread,
    Nothing,
}

const fn order(signal: i32) -> Order {
    match signal {
        libc::SIGUSR1 | libc::SIGPWR => Order::Down(Power::PowerOff),
        libc::SIGUSR2 => Order::Down(Power::Halt),
        libc::SIGINT | libc::SIGTERM => Order::Down(Power::Reboot),
        libc::SIGHUP => Order::Reread,
        _ => Order::Nothing,
    }
}

/// Seven presses of Ctrl-Alt-Del within two seconds, as systemd's users know it: somebody is in a
/// hurry.
#[derive(Debug, Default)]
struct Presses(Vec<u64>);

impl Presses {
    const MANY: usize = 7;
    const WITHIN: u64 = 2_000;

    /// Takes the moment of a press, in milliseconds; gives whether these are enough.
    fn add(&mut self, now: u64) -> bool {
        self.0.retain(|at| now.saturating_sub(*at) <= Self::WITHIN);
        self.0.push(now);
        self.0.len() >= Self::MANY
    }
}

/// The signals to process 1, and what they have asked for so far.
pub(super) struct Watch {
    waiting: Option<(Poll, Signals)>,
    presses: Presses,
    /// The end that was asked for; the first who asks has it.
    pub(super) asked: Option<Power>,
    /// Nothing is to be waited for any more.
    pub(super) hurry: bool,
    /// The units are to be read again.
    pub(super) reread: bool,
}

impl Watch {
    /// Catches the signals from now on. Where that is impossible it says so, and orphans are looked
    /// for from time to time.
    pub(super) fn new() -> Self {
        let waiting = || {
            let (poll, signals) = (Poll::new()?, Signals::new(&CAUGHT)?);
            poll.add(&signals, 1, Interest::Read).map(|()| (poll, signals))
        };
        let waiting = waiting();
        let waiting = waiting.inspect_err(|error| log::error!("{error}; no signal is answered"));
        Self {
            waiting: waiting.ok(),
            presses: Presses::default(),
            asked: None,
            hurry: false,
            reread: false,
        }
    }

    /// Waits for a signal, at most so many milliseconds (`None`: for ever), and takes what came.
    pub(super) fn wait(&mut self, timeout_ms: Option<u64>) {
        let Some((poll, signals)) = &mut self.waiting else {
            std::thread::sleep(Duration::from_millis(timeout_ms.unwrap_or(100).min(100)));
            return;
        };
        if let Err(error) = poll.wait(timeout_ms, &mut Vec::new()) {
            log::error!("{error}");
            std::thread::sleep(Duration::from_millis(100));
        }
        for signal in signals.pending() {
            self.hurry |= signal == libc::SIGINT && self.presses.add(clock::monotonic_ms());
            match order(signal) {
                Order::Down(power) if self.asked.is_none() => self.asked = Some(power),
                Order::Down(power) => {
                    log::info!("{} was asked for; the machine is going down already", power.word());
                }
                Order::Reread => self.reread = true,
                Order::Nothing => {}
            }
        }
    }
}

/// Buries the dead, and gives each to `tell`; gives whether there may be more of them.
pub(super) fn bury_dead(mut tell: impl FnMut(u32, reap::ExitStatus)) -> bool {
    for _ in 0..BURIED_A_TURN {
        match reap::bury_next() {
            Some((pid, status)) => tell(pid, status),
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signal_asks_for_what_it_always_did() {
        for (signal, power) in [
            (libc::SIGUSR1, Power::PowerOff),
            (libc::SIGPWR, Power::PowerOff),
            (libc::SIGUSR2, Power::Halt),
            (libc::SIGINT, Power::Reboot),
            (libc::SIGTERM, Power::Reboot),
        ] {
            assert_eq!(order(signal), Order::Down(power));
        }
        assert_eq!(order(libc::SIGHUP), Order::Reread);
        assert_eq!((order(libc::SIGCHLD), order(libc::SIGWINCH)), (Order::Nothing, Order::Nothing));
        for signal in CAUGHT {
            assert!(![libc::SIGSEGV, libc::SIGILL, libc::SIGFPE, libc::SIGKILL].contains(&signal));
        }
    }

    #[test]
    fn seven_presses_within_two_seconds_are_a_hurry_and_slow_ones_never_are() {
        let mut presses = Presses::default();
        for at in 0..6 {
            assert!(!presses.add(at * 300));
        }
        assert!(presses.add(6 * 300));
        let mut slow = Presses::default();
        assert!((0..50).all(|at| !slow.add(at * 400)));
    }
}
