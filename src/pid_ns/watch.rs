//! Waiting for the guest's end, and passing on what is asked of it meanwhile.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use super::birth::Guest;
use super::language::{Asked, Init, Wish, send};
use super::options::Options;
use super::{Failure, say};
use crate::kernel::poll::Poll;
use crate::kernel::reap::{self, ExitStatus};
use crate::kernel::signals::Signals;
use crate::words::words_of;

/// How often an init that cannot hear yet is asked again.
const SOON: Duration = Duration::from_millis(50);

/// How soon a question that may have been passed over is put again; each time twice as late.
const LATER: Duration = Duration::from_secs(1);

const SIGNALS: u64 = 0;
const INIT: u64 = 1;
const REPORT: u64 = 2;

/// How a guest ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// How its init ended.
    pub exit: ExitStatus,
    /// Why it never was a guest.
    pub failure: Option<Failure>,
    /// What it had been asked.
    pub wish: Option<Wish>,
    /// Whether it had to be killed.
    pub killed: bool,
}

/// What this process waits with.
pub struct Watch {
    poll: Poll,
    signals: Signals,
    ready: Vec<u64>,
}

impl Watch {
    /// Catches signals from now on.
    pub fn new() -> Result<Self, Failure> {
        let mut caught = vec![libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR2];
        caught.extend([libc::SIGUSR1, libc::SIGPWR]);
        caught.extend(libc::SIGRTMIN()..=libc::SIGRTMAX());
        let signals = Signals::new(&caught)?;
        let poll = Poll::new()?;
        poll.add(&signals, SIGNALS)?;
        Ok(Self { poll, signals, ready: Vec::new() })
    }

    /// Waits until the guest is no more.
    pub fn until_end(&mut self, mut guest: Guest, options: &Options) -> Result<End, Failure> {
        self.poll.add(&guest.pidfd, INIT)?;
        if let Some(report) = guest.report() {
            self.poll.add(report, REPORT)?;
        }
        let mut talk = Talk::new(options);
        let mut failure = None;
        loop {
            self.poll.wait(talk.pause(), &mut self.ready)?;
            if self.ready.contains(&REPORT) {
                if let Some(report) = guest.report() {
                    self.poll.remove(report);
                }
                failure = guest.take_report();
                if failure.is_none() && talk.wish.is_none() && !options.notify {
                    tell_ready();
                }
            }
            for signal in self.signals.pending() {
                talk.hear(signal, &guest)?;
            }
            if let Some(exit) = bury_all(guest.pid) {
                self.poll.remove(&guest.pidfd);
                // The report of one that has ended is complete, and may not have been looked at.
                failure = failure.or_else(|| guest.take_report());
                return Ok(End { exit, failure, wish: talk.wish, killed: talk.killed });
            }
            talk.go_on(&guest)?;
        }
    }

    /// Waits between two starts; whether somebody asked for an end meanwhile.
    pub fn told_to_stop_within(&mut self, time: Duration) -> Result<bool, Failure> {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            self.poll.wait(Some(milliseconds(left)), &mut self.ready)?;
            if self.signals.pending().iter().any(|signal| is_stop(*signal)) {
                return Ok(true);
            }
            if left.is_zero() {
                return Ok(false);
            }
        }
    }
}

/// Buries every child that has ended; gives how the guest's init did, once it has.
fn bury_all(init: u32) -> Option<ExitStatus> {
    let mut end = None;
    while let Some(pid) = reap::next_dead() {
        let exit = reap::bury(pid);
        if pid == init {
            end = exit;
        }
    }
    end
}

/// The guest cannot say that it is ready, so its start has to do (sd_notify(3)).
fn tell_ready() {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let told = UnixDatagram::unbound().and_then(|socket| socket.send_to(b"READY=1", &path));
    if let Err(error) = told {
        let why = words_of(&error);
        say(&format!("cannot tell {} that the guest runs: {why}", path.display()));
    }
}

const fn is_stop(signal: i32) -> bool {
    matches!(signal, libc::SIGTERM | libc::SIGINT | libc::SIGHUP)
}

/// Rounded up, so that nothing is looked at before its time.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}

/// What has been asked of the guest, and when to ask again.
struct Talk<'a> {
    options: &'a Options,
    wish: Option<Wish>,
    /// When it was first asked.
    since: Instant,
    /// Who was asked, and whether it is known to have heard.
    asked: Option<(Init, bool)>,
    /// When to look again.
    next: Instant,
    /// When to ask again even where nothing has changed, and how long to wait after that.
    again: Instant,
    gap: Duration,
    killed: bool,
    /// Whether it was ended before its init was executed: nothing ran that could be asked.
    never_was: bool,
}

impl<'a> Talk<'a> {
    fn new(options: &'a Options) -> Self {
        let now = Instant::now();
        Self {
            options,
            wish: None,
            since: now,
            asked: None,
            next: now,
            again: now,
            gap: LATER,
            killed: false,
            never_was: false,
        }
    }

    /// How long to wait at most before [`Self::go_on`].
    fn pause(&self) -> Option<u64> {
        self.wish.filter(|_| !self.killed && !self.never_was)?;
        let next = self.next.min(self.since + self.options.stop_timeout);
        Some(milliseconds(next.saturating_duration_since(Instant::now())))
    }

    fn hear(&mut self, signal: i32, guest: &Guest) -> Result<(), Failure> {
        match signal {
            libc::SIGINT if self.wish == Some(Wish::PowerOff) && !self.killed => {
                say("interrupted again: the guest is killed");
                self.kill(guest)
            }
            signal if is_stop(signal) => {
                if self.wish != Some(Wish::PowerOff) {
                    self.want(Wish::PowerOff);
                }
                self.never_was |= guest.report().is_some();
                if self.never_was { guest.kill() } else { Ok(()) }
            }
            libc::SIGUSR2 if self.wish.is_none() => {
                self.want(Wish::Reboot);
                Ok(())
            }
            libc::SIGUSR2 => Ok(()),
            passed_on => send(guest, passed_on),
        }
    }

    fn want(&mut self, wish: Wish) {
        let now = Instant::now();
        self.wish = Some(wish);
        (self.since, self.next, self.again) = (now, now, now);
        (self.asked, self.gap) = (None, LATER);
    }

    fn kill(&mut self, guest: &Guest) -> Result<(), Failure> {
        self.killed = true;
        guest.kill()
    }

    /// Asks, asks again, and loses patience in the end.
    fn go_on(&mut self, guest: &Guest) -> Result<(), Failure> {
        let over = self.killed || self.never_was;
        let Some(wish) = self.wish.filter(|_| !over && guest.report().is_none()) else {
            return Ok(());
        };
        let now = Instant::now();
        if now >= self.since + self.options.stop_timeout {
            return self.lose_patience(wish, guest);
        }
        if now < self.next {
            return Ok(());
        }
        self.next = now + SOON;
        let Some(init) = Init::of(guest.pid) else { return Ok(()) };
        let is_again = now >= self.again;
        if self.asked == Some((init, true)) && !(init.forgets() && is_again) {
            return Ok(());
        }
        match init.ask(guest, wish, self.since.elapsed(), is_again, self.options)? {
            Asked::Yes => self.note(wish, (init, true), guest),
            Asked::Perhaps => self.note(wish, (init, false), guest),
            Asked::NotYet => {}
            Asked::NoWord => {
                say(&format!("{} has no word for a reboot: nothing is done", init.name()));
                self.wish = None;
            }
        }
        Ok(())
    }

    fn note(&mut self, wish: Wish, asked: (Init, bool), guest: &Guest) {
        self.again = Instant::now() + self.gap;
        self.gap *= 2;
        if self.asked == Some(asked) {
            return;
        }
        self.asked = Some(asked);
        let (name, pid, words) = (asked.0.name(), guest.pid, wish.words());
        let left = self.options.stop_timeout.saturating_sub(self.since.elapsed()).as_secs_f64();
        let doubt = if asked.1 { "" } else { ", though nothing shows that it listens" };
        say(&format!("asked {name} (process {pid}) to {words}{doubt}; it has {left:.1} s"));
    }

    fn lose_patience(&mut self, wish: Wish, guest: &Guest) -> Result<(), Failure> {
        let time = self.options.stop_timeout.as_secs_f64();
        let name = self.asked.map_or("the guest's init", |(init, _)| init.name());
        let what = match self.asked {
            Some((_, true)) => format!("{name} did not {} within {time} s", wish.words()),
            _ => format!("{name} did not listen within {time} s"),
        };
        if wish == Wish::Reboot {
            say(&format!("{what}: it goes on"));
            self.wish = None;
            return Ok(());
        }
        say(&format!("{what}: the guest is killed"));
        self.kill(guest)
    }
}
