//! Descriptors that outlive this process: they travel for ever in the queue of a socket that is
//! connected to itself, and that another process holds open without looking at it.
//!
//! A message that was sent over a unix socket keeps the files open that travel with it (unix(7),
//! SCM_RIGHTS). So whoever has the socket can add to what is kept and take all of it, and the
//! process that only holds it needs no code for that, and can keep nobody waiting. All that is kept
//! is sent as one generation, in a few messages, before the one before it is thrown away: whenever
//! this process is killed, a whole generation is there. A single one may be added to it.

use std::fs;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, recv, sendmsg};

use super::{Error, pidfd, sys};

/// Descriptors in one message.
const A_MESSAGE: usize = 100;
/// So many messages at most are in the queue before another one is added: it holds ten or so
/// (net.unix.max_dgram_qlen), and a new generation comes behind them.
const MOST_MESSAGES: usize = 4;
/// The most bytes of one message; labels are much shorter.
const MAX_MESSAGE: usize = 128 * 1024;

/// A descriptor that is kept, and what it is: one line that means something to the caller.
#[derive(Debug)]
pub struct Item {
    /// One line, at most a few hundred bytes.
    pub label: String,
    /// The descriptor.
    pub fd: OwnedFd,
}

/// The socket.
#[derive(Debug)]
pub struct Kept {
    socket: UnixDatagram,
    generation: u64,
    /// How many messages are in its queue.
    messages: usize,
    /// How many of them all that was kept took when it was replaced last.
    parts: usize,
}

/// One message: a part of a generation.
struct Part {
    generation: u64,
    /// `None` when it was added to the others.
    number: Option<usize>,
    parts: usize,
    items: Vec<Item>,
}

impl Kept {
    /// Takes the socket over from the process that holds it as its descriptor `number`, with what
    /// is kept; otherwise makes a new one. `path` is only its name: nothing is left there.
    ///
    /// # Errors
    /// When a new one cannot be made.
    pub fn open(
        path: &Path,
        keeper: Option<u32>,
        number: RawFd,
    ) -> Result<(Self, Vec<Item>), Error> {
        match keeper.and_then(|pid| Self::take_over(path, pid, number)) {
            Some(mut kept) => {
                let items = kept.go_round();
                Ok((kept, items))
            }
            None => Ok((Self::make(path)?, Vec::new())),
        }
    }

    fn take_over(path: &Path, keeper: u32, number: RawFd) -> Option<Self> {
        let keeper = pidfd::open(keeper).ok()??;
        let socket = UnixDatagram::from(sys::pidfd_getfd(keeper.as_fd(), number).ok()?);
        let is_ours = socket.local_addr().ok()?.as_pathname() == Some(path)
            && socket.peer_addr().ok()?.as_pathname() == Some(path);
        is_ours.then_some(Self { socket, generation: 0, messages: 0, parts: 0 })
    }

    fn make(path: &Path) -> Result<Self, Error> {
        let failed = |what| move |e: std::io::Error| Error::io(what, path, &e);
        match fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("replace", path, &e));
            }
            _ => {}
        }
        let socket = UnixDatagram::bind(path).map_err(failed("bind"))?;
        socket.connect(path).map_err(failed("connect"))?;
        // Nobody else ever finds it.
        fs::remove_file(path).map_err(failed("remove"))?;
        socket.set_nonblocking(true).map_err(failed("prepare"))?;
        Ok(Self { socket, generation: 0, messages: 0, parts: 0 })
    }

    /// A duplicate for the process that holds it.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn duplicate(&self) -> std::io::Result<OwnedFd> {
        Ok(self.socket.try_clone()?.into())
    }

    /// Keeps these from now on, and nothing else.
    ///
    /// # Errors
    /// When the kernel takes no more; then what was kept before still is.
    pub fn replace(&mut self, items: &[(String, BorrowedFd)]) -> Result<(), Error> {
        let failed = |errno| Error::new("keep", format!("{} descriptors", items.len()), errno);
        let old = self.messages;
        self.generation += 1;
        let chunks: Vec<_> = items.chunks(A_MESSAGE).collect();
        for (number, chunk) in chunks.iter().enumerate() {
            let labels: Vec<&str> = chunk.iter().map(|(label, _)| label.as_str()).collect();
            let head = format!("{} {number} {}", self.generation, chunks.len());
            let fds: Vec<RawFd> = chunk.iter().map(|(_, fd)| fd.as_raw_fd()).collect();
            self.send(&format!("{head}\n{}", labels.join("\n")), &fds).map_err(failed)?;
        }
        self.parts = chunks.len();
        for _ in 0..old {
            self.pop();
        }
        Ok(())
    }

    /// Whether all that is kept is in one message, but for what was added.
    #[must_use]
    pub const fn is_brief(&self) -> bool {
        self.parts <= 1
    }

    /// Keeps one more, until all is replaced. Gives whether there was room: there is none where nothing
    /// is kept yet, or much.
    pub fn add(&mut self, label: &str, fd: BorrowedFd) -> bool {
        let text = format!("{} + 0\n{label}", self.generation);
        (1..=MOST_MESSAGES).contains(&self.messages) && self.send(&text, &[fd.as_raw_fd()]).is_ok()
    }

    fn send(&mut self, text: &str, fds: &[RawFd]) -> Result<(), Errno> {
        let rights = [ControlMessage::ScmRights(fds)];
        let rights = if fds.is_empty() { &rights[..0] } else { &rights[..] };
        let parts = [IoSlice::new(text.as_bytes())];
        let flags = MsgFlags::MSG_DONTWAIT;
        sendmsg::<UnixAddr>(self.socket.as_raw_fd(), &parts, rights, flags, None)?;
        self.messages += 1;
        Ok(())
    }

    /// Throws the first message away; the kernel closes what travels with it.
    fn pop(&mut self) {
        let _ = recv(self.socket.as_raw_fd(), &mut [], MsgFlags::MSG_DONTWAIT);
        self.messages = self.messages.saturating_sub(1);
    }

    /// Looks at every message, and gives the newest generation that is whole. Each is sent again
    /// before it is taken out: there is no instant in which it is not in the queue.
    fn go_round(&mut self) -> Vec<Item> {
        let mark = format!("mark {} {}", std::process::id(), super::clock::monotonic_ms());
        let mut parts: Vec<Part> = Vec::new();
        if self.send(&mark, &[]).is_err() {
            return Vec::new();
        }
        let mut buffer = vec![0; MAX_MESSAGE];
        while let Ok((length, fds)) = sys::peek_with_fds(self.socket.as_fd(), &mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text == mark {
                self.pop();
                break;
            }
            let part = parse(&text, fds);
            if let Some(part) = &part {
                let raw: Vec<RawFd> = part.items.iter().map(|it| it.fd.as_raw_fd()).collect();
                if self.send(&text, &raw).is_err() {
                    break;
                }
                // Two were added by now and one is going: only those sent again are counted.
            }
            self.messages += 1;
            self.pop();
            parts.extend(part);
        }
        self.generation = parts.iter().map(|part| part.generation).max().unwrap_or(0);
        newest_whole(parts)
    }
}

fn parse(text: &str, fds: Vec<OwnedFd>) -> Option<Part> {
    let mut lines = text.split('\n');
    let head: Vec<&str> = lines.next()?.split(' ').collect();
    let [generation, number, parts] = head[..] else { return None };
    let labels: Vec<&str> = lines.collect();
    let items = labels.iter().zip(fds).map(|(label, fd)| Item { label: (*label).to_owned(), fd });
    Some(Part {
        generation: generation.parse().ok()?,
        number: if number == "+" { None } else { Some(number.parse().ok()?) },
        parts: parts.parse().ok()?,
        items: items.collect(),
    })
}

fn newest_whole(mut parts: Vec<Part>) -> Vec<Item> {
    let key = |part: &Part| {
        let added = part.items.first().filter(|_| part.number.is_none());
        (part.generation, part.number, added.map(|item| item.label.clone()))
    };
    parts.sort_by_key(key);
    // Whoever was killed while it went round has sent some of them twice.
    parts.dedup_by_key(|part| key(part));
    let is_whole = |of: &Part| {
        let same = parts.iter().filter(|part| part.generation == of.generation);
        of.number.is_some() && same.filter(|part| part.number.is_some()).count() == of.parts
    };
    let newest = parts.iter().filter(|part| is_whole(part)).map(|part| part.generation).max();
    let of_newest = parts.into_iter().filter(|part| Some(part.generation) == newest);
    of_newest.flat_map(|part| part.items).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::{Child, Command, Stdio};

    use nix::fcntl::OFlag;
    use nix::unistd::pipe2;

    use super::*;

    /// A process that holds the socket and nothing else.
    struct Holder(Child);

    impl Holder {
        fn new(kept: &Kept) -> Self {
            let held = Stdio::from(kept.duplicate().unwrap());
            let child = Command::new("sleep").arg("1000").stdin(held).spawn().unwrap();
            Self(child)
        }
    }

    impl Drop for Holder {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    fn labels(items: &[Item]) -> Vec<&str> {
        items.iter().map(|item| item.label.as_str()).collect()
    }

    #[test]
    fn what_is_kept_outlives_who_kept_it_and_what_is_replaced_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kept");
        let (mut kept, none) = Kept::open(&path, None, 0).unwrap();
        assert!(none.is_empty() && !path.exists());
        let holder = Holder::new(&kept);
        let mut ends = Vec::new();
        let mut writers = Vec::new();
        for _ in 0..3 * A_MESSAGE + 1 {
            let (reading, writing) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).unwrap();
            ends.push(std::fs::File::from(reading));
            writers.push(writing);
        }
        let label = |at: usize| format!("number {at}");
        for round in 0..30 {
            let from = round % 2;
            let items = writers.iter().enumerate().skip(from);
            let items: Vec<_> = items.map(|(at, fd)| (label(at), fd.as_fd())).collect();
            kept.replace(&items).unwrap();
        }
        drop(writers);
        drop(kept);
        let is_open = |end: &mut std::fs::File| end.read(&mut [0]).is_err();
        // The last round has left out the first.
        assert!(!is_open(&mut ends[0]));
        assert!(ends.iter_mut().skip(1).all(is_open));

        for _ in 0..3 {
            let (mut kept, items) = Kept::open(&path, Some(holder.0.id()), 0).unwrap();
            assert_eq!(items.len(), 3 * A_MESSAGE);
            assert_eq!(
                (items[0].label.as_str(), items[299].label.as_str()),
                ("number 1", "number 300")
            );
            assert_eq!(kept.messages, 3);
            let items: Vec<_> = items.iter().map(|it| (it.label.clone(), it.fd.as_fd())).collect();
            kept.replace(&items).unwrap();
            assert_eq!(kept.messages, 3);
        }
        let (mut kept, items) = Kept::open(&path, Some(holder.0.id()), 0).unwrap();
        drop(items);
        kept.replace(&[]).unwrap();
        assert!(!ends.iter_mut().any(is_open));
        assert_eq!(kept.messages, 0);
    }

    #[test]
    fn one_that_is_added_is_kept_until_all_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kept");
        let (mut kept, _) = Kept::open(&path, None, 0).unwrap();
        let holder = Holder::new(&kept);
        let null = std::fs::File::open("/dev/null").unwrap();
        assert!(!kept.add("too early", null.as_fd()));
        let all = [("number 1".to_owned(), null.as_fd())];
        kept.replace(&all).unwrap();
        let added = (2..10).take_while(|n| kept.add(&format!("number {n}"), null.as_fd())).count();
        assert_eq!(added, MOST_MESSAGES);
        drop(kept);
        let (mut kept, items) = Kept::open(&path, Some(holder.0.id()), 0).unwrap();
        let mut found = labels(&items);
        found.sort_unstable();
        assert_eq!(found, ["number 1", "number 2", "number 3", "number 4", "number 5"]);
        assert_eq!(kept.messages, 1 + MOST_MESSAGES);
        kept.replace(&all).unwrap();
        assert!(kept.add("last", null.as_fd()));
        let (kept, items) = Kept::open(&path, Some(holder.0.id()), 0).unwrap();
        assert_eq!((items.len(), kept.messages), (2, 2));
    }

    #[test]
    fn half_a_generation_counts_for_nothing() {
        let fd = || std::fs::File::open("/dev/null").unwrap().into();
        let part = |text: &str| parse(text, vec![fd()]).unwrap();
        let whole = vec![part("1 0 2\na"), part("1 1 2\nb"), part("2 0 2\nc")];
        assert_eq!(labels(&newest_whole(whole)), ["a", "b"]);
        let twice = vec![part("1 0 1\na"), part("2 0 2\nc"), part("1 0 1\na"), part("2 1 2\nd")];
        assert_eq!(labels(&newest_whole(twice)), ["c", "d"]);
        let added = vec![part("1 0 1\na"), part("1 + 0\nb"), part("2 0 2\nc"), part("2 + 0\nd")];
        assert_eq!(labels(&newest_whole(added)), ["b", "a"]);
        assert!(parse("nonsense", Vec::new()).is_none());
    }

    #[test]
    fn a_holder_of_something_else_is_not_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("kept"), dir.path().join("other"));
        let (kept, _) = Kept::open(&other, None, 0).unwrap();
        let holder = Holder::new(&kept);
        let (new, items) = Kept::open(&path, Some(holder.0.id()), 0).unwrap();
        assert!(items.is_empty());
        assert_eq!(new.socket.local_addr().unwrap().as_pathname(), Some(path.as_path()));
    }
}
