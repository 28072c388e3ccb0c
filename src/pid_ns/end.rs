//! What a guest's end means, and what follows.

use std::path::PathBuf;
use std::time::Duration;

use super::language::Wish;
use super::options::{Options, Share, Then};
use super::watch::End;
use super::{Failure, say};
use crate::kernel::reap::ExitStatus;
use crate::power::Power;
use crate::protocol::client::Client;
use crate::protocol::message::Nothing;
use crate::protocol::{Request, SOCKET};

/// The exit status when the guest asked for a reboot and that was not to be had: as if the signal
/// had ended us by which the kernel tells of it.
const REBOOT: u8 = 128 + 1;

/// How long the supervisor may take to accept an order.
const ORDER_TIME: Duration = Duration::from_secs(10);

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// We end with this status.
    Exit(u8),
    /// The guest starts again.
    Restart,
    /// The machine ends.
    Machine(Power),
}

/// Says what became of the guest, and gives what follows.
pub fn what_next(end: &End, options: &Options) -> Next {
    if let Some(failure) = end.failure.as_ref().filter(|_| !end.killed) {
        say(&failure.text);
        return Next::Exit(failure.status);
    }
    if end.wish == Some(Wish::PowerOff) {
        return Next::Exit(if end.killed { status_of(end.exit) } else { 0 });
    }
    let (power, then, word) = match (end.exit, options.owns(Share::Pid)) {
        // reboot(2) in a pid namespace ends its init, and the signal says what was asked for.
        (ExitStatus::Signal { number: libc::SIGHUP, .. }, true) => {
            (Power::Reboot, options.on_reboot, "reboots")
        }
        (ExitStatus::Signal { number: libc::SIGINT, .. }, true) => {
            (Power::PowerOff, options.on_poweroff, "has powered off")
        }
        (ExitStatus::Signal { number, .. }, _) => {
            say(&format!("signal {number} killed the guest's init"));
            return Next::Exit(status_of(end.exit));
        }
        (ExitStatus::Code(code), _) => {
            say(&format!("the guest's init exited with {code}"));
            return Next::Exit(status_of(end.exit));
        }
    };
    say(&format!("the guest {word}"));
    match then {
        Then::Restart => Next::Restart,
        Then::Exit if power == Power::Reboot => Next::Exit(REBOOT),
        Then::Exit => Next::Exit(0),
        Then::Machine => Next::Machine(power),
    }
}

/// The status that a shell would show.
pub fn status_of(exit: ExitStatus) -> u8 {
    match exit {
        ExitStatus::Code(code) => u8::try_from(code).unwrap_or(u8::MAX),
        ExitStatus::Signal { number, .. } => u8::try_from(128 + number).unwrap_or(u8::MAX),
    }
}

/// Asks the supervisor to do to the machine what the guest did to itself.
pub fn ask_for(power: Power, options: &Options) -> Result<u8, Failure> {
    let environment = || std::env::var_os("TREEWARD_SOCKET").map(PathBuf::from);
    let socket = options.control_socket.clone().or_else(environment);
    let socket = socket.unwrap_or_else(|| SOCKET.into());
    let called = Client::connect(&socket, ORDER_TIME)
        .and_then(|mut client| client.call(&Request::Power(power), Some(ORDER_TIME)));
    match called {
        Ok(Nothing {}) => {
            say(&format!("the supervisor was asked for: {}", power.word()));
            Ok(0)
        }
        Err(error) => {
            let text = format!("the machine does not {} with the guest: {error}", power.word());
            Err(Failure { text, status: 1 })
        }
    }
}

/// Starts that came soon after one another.
#[derive(Debug, Default)]
pub struct Restarts(u32);

impl Restarts {
    /// A guest that lived for so long starts a new count.
    const LONG_LIFE: Duration = Duration::from_secs(60);
    const FIRST_PAUSE: Duration = Duration::from_millis(100);
    const LONGEST_PAUSE: Duration = Duration::from_secs(10);
    const MOST: u32 = 10;

    /// How long to wait before the next start, after a guest that lived for so long; `None` when
    /// it has been tried too often.
    pub fn next(&mut self, lived: Duration) -> Option<Duration> {
        if lived >= Self::LONG_LIFE {
            self.0 = 0;
        }
        self.0 += 1;
        let pause = Self::FIRST_PAUSE.saturating_mul(1 << (self.0 - 1).min(10));
        (self.0 <= Self::MOST).then_some(pause.min(Self::LONGEST_PAUSE))
    }

    /// What to say then.
    pub fn too_many() -> Failure {
        let (most, life) = (Self::MOST, Self::LONG_LIFE.as_secs());
        let text = format!("the guest was restarted {most} times and never lived for {life} s");
        Failure { text, status: REBOOT }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn options(arguments: &[&str]) -> Options {
        Options::parse_from([&["run-on-pid-ns"], arguments, &["init"]].concat())
    }

    fn killed_by(number: i32) -> End {
        let exit = ExitStatus::Signal { number, core: false };
        End { exit, failure: None, wish: None, killed: false }
    }

    #[test]
    fn the_two_signals_of_reboot_are_orders_and_others_are_crashes() {
        let plain = options(&[]);
        assert_eq!(what_next(&killed_by(libc::SIGHUP), &plain), Next::Restart);
        assert_eq!(what_next(&killed_by(libc::SIGINT), &plain), Next::Exit(0));
        assert_eq!(what_next(&killed_by(libc::SIGSEGV), &plain), Next::Exit(139));
        assert_eq!(what_next(&killed_by(libc::SIGKILL), &plain), Next::Exit(137));
        let other = options(&["--on-reboot", "exit", "--on-poweroff", "machine"]);
        assert_eq!(what_next(&killed_by(libc::SIGHUP), &other), Next::Exit(129));
        assert_eq!(what_next(&killed_by(libc::SIGINT), &other), Next::Machine(Power::PowerOff));
        // Without a pid namespace they are what they are everywhere.
        let shared = options(&["--share", "pid"]);
        assert_eq!(what_next(&killed_by(libc::SIGHUP), &shared), Next::Exit(129));
        assert_eq!(what_next(&killed_by(libc::SIGINT), &shared), Next::Exit(130));
    }

    #[test]
    fn who_ended_when_asked_ended_well() {
        let asked = End { wish: Some(Wish::PowerOff), ..killed_by(libc::SIGINT) };
        assert_eq!(what_next(&asked, &options(&[])), Next::Exit(0));
        // Even where it chose to reboot instead: nobody wants it back.
        let asked = End { wish: Some(Wish::PowerOff), ..killed_by(libc::SIGHUP) };
        assert_eq!(what_next(&asked, &options(&[])), Next::Exit(0));
        let killed = End { wish: Some(Wish::PowerOff), killed: true, ..killed_by(libc::SIGKILL) };
        assert_eq!(what_next(&killed, &options(&[])), Next::Exit(137));
        let rebooted = End { wish: Some(Wish::Reboot), ..killed_by(libc::SIGHUP) };
        assert_eq!(what_next(&rebooted, &options(&[])), Next::Restart);
    }

    #[test]
    fn restarts_come_later_and_later_and_not_for_ever() {
        let mut restarts = Restarts::default();
        let short = Duration::from_secs(1);
        assert_eq!(restarts.next(short), Some(Duration::from_millis(100)));
        assert_eq!(restarts.next(short), Some(Duration::from_millis(200)));
        assert_eq!(restarts.next(Duration::from_secs(60)), Some(Duration::from_millis(100)));
        let pauses: Vec<_> = (0..20).map_while(|_| restarts.next(short)).collect();
        assert_eq!(pauses.len(), 9);
        assert_eq!(pauses.last(), Some(&Duration::from_secs(10)));
    }
}
