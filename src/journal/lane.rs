//! The loop: one epoll for everything, one read per FIFO and turn, written before the next read.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

use super::fifos::{Fifos, News};
use super::files::{Files, Limits};
use super::lines::{Stamp, push_line, stamp_lines};
use super::syslog::Syslog;
use super::{Error, Options};
use crate::words::words_of;

/// Bytes of one read: what one FIFO may do in one turn, and what is lost by `kill -9` at most.
pub(super) const READ_BYTES: usize = 256 * 1024;
/// How long a line without an end waits for it.
const PARTIAL_WAIT: Duration = Duration::from_secs(1);
/// After data came, the next turn waits this long, unless services write faster than that. A
/// service that writes single lines is so read in batches and not woken for each of them.
const TURN_PAUSE: Duration = Duration::from_millis(1);
/// After FIFOs came or went, it waits this long: where one is made others often follow, and a boot
/// should not be held up by waking this process for each.
const NAMES_PAUSE: Duration = Duration::from_millis(10);
/// How often it looks whether the directory of the FIFOs is gone, when all of them are.
const EMPTY_PAUSE: Duration = Duration::from_secs(1);
/// Datagrams of one turn.
const SYSLOG_TURN: usize = 64;
/// The most that a drained FIFO gives; a service that goes on writing is not waited for.
const DRAIN_BYTES: usize = 1024 * 1024;

const SIGNALS: u64 = 0;
const NAMES: u64 = 1;
const SYSLOG: u64 = 2;
const FIRST_FIFO: u64 = 3;

/// What a turn found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Load {
    Nothing,
    Names,
    Data,
    Flood,
}

pub(super) struct Lane {
    epoll: Epoll,
    signals: SignalDelivery<UnixStream, SignalOnly>,
    fifos: Fifos,
    files: Files,
    syslog: Option<Syslog>,
    stamp: Stamp,
    input: Box<[u8]>,
    out: Vec<u8>,
    /// Indexes of the FIFOs with a begun line.
    partials: Vec<usize>,
    stop: bool,
}

impl Lane {
    pub(super) fn new(options: &Options) -> Result<Self, Error> {
        let path = options.run_dir.join("log");
        let failed = |call: &'static str| {
            let path = path.clone();
            move |why: io::Error| Error::System { call, path, why }
        };
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .map_err(|errno| failed("epoll_create1")(errno.into()))?;
        let signals = signal_pipe().map_err(failed("sigaction"))?;
        let fifos = Fifos::new(path.clone())?;
        let limits = Limits { size: options.log_size, count: options.log_count };
        let syslog = options.syslog.as_ref().and_then(|socket| {
            Syslog::bind(socket, &options.services_cgroup)
                .inspect_err(|error| {
                    let (at, why) = (socket.display(), words_of(error));
                    log::warn!("no syslog at {at}: {why}; going on without");
                })
                .ok()
        });
        let mut lane = Self {
            epoll,
            signals,
            fifos,
            files: Files::new(options.log_dir.clone(), limits),
            syslog,
            stamp: Stamp::new(),
            input: vec![0; READ_BYTES].into_boxed_slice(),
            out: Vec::new(),
            partials: Vec::new(),
            stop: false,
        };
        lane.watch_all().map_err(|errno| failed("epoll_ctl")(errno.into()))?;
        Ok(lane)
    }

    fn watch_all(&mut self) -> Result<(), Errno> {
        let readable = |token| EpollEvent::new(EpollFlags::EPOLLIN, token);
        self.epoll.add(self.signals.get_read(), readable(SIGNALS))?;
        self.epoll.add(&self.fifos.watch, readable(NAMES))?;
        if let Some(syslog) = &self.syslog {
            self.epoll.add(syslog, readable(SYSLOG))?;
        }
        // The directory is watched already, so a FIFO made meanwhile is found twice, not missed.
        let found = self.fifos.scan();
        self.follow(found);
        Ok(())
    }

    /// Turns until a signal says stop, then drains.
    pub(super) fn run(mut self) -> Result<(), Error> {
        let mut events = [EpollEvent::empty(); 64];
        while !self.stop {
            let timeout = self.timeout(Instant::now());
            let count = match self.epoll.wait(&mut events, timeout) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(errno) => {
                    let path = "the FIFOs".into();
                    return Err(Error::System { call: "epoll_wait", path, why: errno.into() });
                }
            };
            let mut load = Load::Nothing;
            for event in &events[..count] {
                load = load.max(self.serve(event.data()));
            }
            self.keep_time(Instant::now());
            match load {
                Load::Names if !self.stop => std::thread::sleep(NAMES_PAUSE),
                Load::Data if !self.stop => std::thread::sleep(TURN_PAUSE),
                Load::Nothing | Load::Names | Load::Data | Load::Flood => {}
            }
        }
        self.drain();
        Ok(())
    }

    fn serve(&mut self, token: u64) -> Load {
        match token {
            SIGNALS => self.take_signals(),
            NAMES => {
                let news = self.fifos.news();
                self.follow(news);
                return Load::Names;
            }
            SYSLOG => return self.read_syslog(),
            fifo => {
                // A token is an index: it was made from one.
                let index = (fifo - FIRST_FIFO) as usize;
                return self.read_fifo(index).1;
            }
        }
        Load::Nothing
    }

    /// Until the next begun line is due or the next retry; for ever when there is neither.
    fn timeout(&mut self, now: Instant) -> EpollTimeout {
        let due = self.partials.iter().filter_map(|&index| self.fifos.get_mut(index)?.due).min();
        let look = self.fifos.is_empty().then(|| now + EMPTY_PAUSE);
        match due.into_iter().chain(self.files.retry_at()).chain(look).min() {
            None => EpollTimeout::NONE,
            Some(at) => {
                let millis = at.saturating_duration_since(now).as_micros().div_ceil(1000);
                u16::try_from(millis).unwrap_or(u16::MAX).into()
            }
        }
    }

    fn keep_time(&mut self, now: Instant) {
        let partials = std::mem::take(&mut self.partials);
        for index in partials {
            match self.fifos.get_mut(index).and_then(|fifo| fifo.due) {
                Some(due) if due <= now => self.end_line(index),
                Some(_) => self.partials.push(index),
                None => {}
            }
        }
        if self.files.retry_at().is_some_and(|at| at <= now) {
            self.files.retry(now, &self.stamp.now());
        }
        // Nobody will write any more, and no supervisor would end this process.
        self.stop |= self.fifos.is_empty() && self.fifos.are_over();
    }

    /// One read of one FIFO, stamped and written. Gives the number of bytes too.
    fn read_fifo(&mut self, index: usize) -> (usize, Load) {
        let Some(fifo) = self.fifos.get_mut(index) else {
            return (0, Load::Nothing);
        };
        let count = match (&fifo.pipe).read(&mut self.input) {
            Ok(0) | Err(_) => return (0, Load::Nothing),
            Ok(count) => count,
        };
        let stamp = self.stamp.now();
        let mut rest = &self.input[..count];
        let mut wrote = false;
        while !rest.is_empty() {
            let taken = stamp_lines(&mut self.out, &stamp, &mut fifo.partial, rest);
            rest = &rest[taken..];
            if !self.out.is_empty() {
                self.files.append(&fifo.unit, &self.out);
                self.out.clear();
                wrote = true;
            }
        }
        if fifo.partial.is_empty() {
            fifo.due = None;
        } else if wrote || fifo.due.is_none() {
            if fifo.due.is_none() {
                self.partials.push(index);
            }
            fifo.due = Some(Instant::now() + PARTIAL_WAIT);
        }
        (count, if fifo.is_flooding(count) { Load::Flood } else { Load::Data })
    }

    /// Writes a begun line as it is.
    fn end_line(&mut self, index: usize) {
        let Some(fifo) = self.fifos.get_mut(index) else {
            return;
        };
        fifo.due = None;
        let partial = std::mem::take(&mut fifo.partial);
        if !partial.is_empty() {
            push_line(&mut self.out, &self.stamp.now(), &partial);
            self.files.append(&fifo.unit, &self.out);
            self.out.clear();
        }
    }

    fn read_syslog(&mut self) -> Load {
        let Some(syslog) = &mut self.syslog else {
            return Load::Nothing;
        };
        for taken in 0..SYSLOG_TURN {
            let Some(message) = syslog.receive(&mut self.input) else {
                // The kernel queues as few as 10 datagrams (net.unix.max_dgram_qlen).
                return if taken < 4 { Load::Data } else { Load::Flood };
            };
            let stamp = self.stamp.now();
            for line in message.lines() {
                push_line(&mut self.out, &stamp, &line);
            }
            self.files.append(&message.log, &self.out);
            self.out.clear();
        }
        Load::Flood
    }

    fn follow(&mut self, news: Vec<News>) {
        for item in news {
            match item {
                News::Found(index) => {
                    let Some(fifo) = self.fifos.get_mut(index) else {
                        continue;
                    };
                    let event = EpollEvent::new(EpollFlags::EPOLLIN, FIRST_FIFO + index as u64);
                    if let Err(errno) = self.epoll.add(fifo.pipe.as_fd(), event) {
                        log::warn!("cannot read the FIFO of {}: {errno}", fifo.unit);
                        self.fifos.remove(index);
                    }
                }
                News::Gone(index) => {
                    self.drain_fifo(index);
                    self.fifos.remove(index);
                }
            }
        }
    }

    fn take_signals(&mut self) {
        for signal in self.signals.pending() {
            match signal {
                SIGTERM | SIGINT => self.stop = true,
                SIGHUP => self.files.reopen(),
                _ => {}
            }
        }
    }

    fn drain_fifo(&mut self, index: usize) {
        let mut total = 0;
        while total <= DRAIN_BYTES {
            match self.read_fifo(index).0 {
                0 => break,
                count => total += count,
            }
        }
        self.end_line(index);
    }

    fn drain(&mut self) {
        for index in self.fifos.indexes() {
            self.drain_fifo(index);
        }
        self.read_syslog();
        if self.files.retry_at().is_some() {
            self.files.retry(Instant::now(), &self.stamp.now());
        }
    }
}

/// SIGXFSZ is caught so that a size limit is an error of write(2). SIGPIPE needs nothing: Rust
/// ignores it from the start.
fn signal_pipe() -> io::Result<SignalDelivery<UnixStream, SignalOnly>> {
    let (read, write) = UnixStream::pair()?;
    SignalDelivery::with_pipe(read, write, SignalOnly, [SIGTERM, SIGINT, SIGHUP, SIGXFSZ])
}
