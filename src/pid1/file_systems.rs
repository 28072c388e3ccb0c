//! The file systems of fstab(5), checked and mounted: `/` first, with its own options. Whatever
//! fails is one line with its line number, and the others are mounted all the same.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mount::MsFlags;

use super::check::{Verdict, check};
use super::fstab::{self, Entry};
use super::mount_options::{Plan, plan, swap_plan};
use super::options::{Check, Options};
use super::tools;
use super::watch::Watch;
use crate::kernel::mounts::{self, Mount};
use crate::kernel::{machine, swap};
use crate::words::words_of;

/// How long devices that are not there yet are waited for, all together.
const DEVICES: Duration = Duration::from_secs(10);

/// How the root file system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    /// The boot goes on.
    Ready,
    /// A check asked for a restart.
    Restart,
    /// It must be repaired by hand.
    Damaged,
}

/// Brings up all that fstab asks for at boot.
pub(super) fn bring_up(options: &Options, watch: &mut Watch) -> Root {
    let path = &options.fstab;
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(e) => {
            log::warn!(
                "cannot read {}: {}; only what is mounted already is there",
                path.display(),
                words_of(&e)
            );
            return Root::Ready;
        }
    };
    let (entries, mistakes) = fstab::parse(&text);
    for mistake in mistakes {
        log::error!("{} {mistake}; the line is passed over", path.display());
    }
    let mut work = Work {
        how: options.check,
        watch,
        until: Instant::now() + DEVICES,
        in_container: machine::is_container(),
        bad: HashSet::new(),
    };
    let (root, others): (Vec<_>, Vec<_>) =
        fstab::in_order(entries).into_iter().partition(Entry::is_root);
    match root.first().map_or(Root::Ready, |entry| work.take_root(entry)) {
        Root::Ready => {}
        other => return other,
    }
    let wanted: Vec<Entry> = others.into_iter().filter(is_wanted).collect();
    if work.check_all(&wanted) == Verdict::Restart {
        return Root::Restart;
    }
    for entry in &wanted {
        if work.watch.asked.is_some() {
            break;
        }
        work.take(entry);
    }
    Root::Ready
}

/// Whether it is for now, and for us.
fn is_wanted(entry: &Entry) -> bool {
    if entry.has("noauto") {
        return false;
    }
    if entry.needs_network() {
        let point = entry.point.display();
        log::info!("fstab line {}: {point} is left to a unit, it needs the network", entry.line);
        return false;
    }
    true
}

/// Whether the line has anything to say to what is mounted already. `proc defaults` is not meant to
/// take away what makes `/proc` safer.
fn says_more(entry: &Entry, mounted: &Mount) -> bool {
    let plan = plan(&entry.options);
    mounted.source.starts_with("/dev") || !plan.flags.is_empty() || !plan.data.is_empty()
}

struct Work<'a> {
    how: Check,
    watch: &'a mut Watch,
    /// When devices that are missing are waited for no longer.
    until: Instant,
    in_container: bool,
    /// The lines of file systems that must not be mounted.
    bad: HashSet<usize>,
}

impl Work<'_> {
    /// Checks `/` while it is read-only still, and remounts it with its own options.
    fn take_root(&mut self, entry: &Entry) -> Root {
        if self.in_container {
            log::info!("fstab line {}: / belongs to the machine outside; it stays", entry.line);
            return Root::Ready;
        }
        let mounted = mounts::list().unwrap_or_default();
        // Below the last one there is what the initramfs was.
        let root = mounted.iter().rfind(|mount| mount.point == Path::new("/"));
        if entry.pass != 0 && self.how != Check::Skip && !entry.is_bind() {
            let line = entry.line;
            match (root.is_some_and(|root| root.read_only), self.find_device(entry)) {
                (false, _) => {
                    log::info!("fstab line {line}: / is writable already, so it is not checked");
                }
                (true, Err(why)) => log::warn!("fstab line {line}: {why}; / is not checked"),
                (true, Ok(device)) => match check(entry, &device, self.how, self.watch) {
                    Verdict::Good => {}
                    Verdict::Restart => return Root::Restart,
                    Verdict::Damaged if entry.has("nofail") => return Root::Ready,
                    Verdict::Damaged => return Root::Damaged,
                },
            }
        }
        self.remount(entry, root);
        Root::Ready
    }

    /// Checks all that ask for it, in the order of their sixth field, one after the other.
    fn check_all(&mut self, entries: &[Entry]) -> Verdict {
        let mut verdict = Verdict::Good;
        if self.how == Check::Skip {
            return verdict;
        }
        let mounted = mounts::list().unwrap_or_default();
        let is_mounted = |entry: &&Entry| mounted.iter().any(|it| it.point == entry.point);
        let checked = |entry: &&Entry| entry.pass != 0 && !entry.is_swap() && !entry.is_bind();
        let mut entries: Vec<&Entry> =
            entries.iter().filter(checked).filter(|entry| !is_mounted(entry)).collect();
        entries.sort_by_key(|entry| entry.pass);
        for entry in entries {
            if self.watch.asked.is_some() {
                break;
            }
            // What is not there is told of when it is to be mounted.
            let Some(device) = self.find_device(entry).ok().filter(|it| it.exists()) else {
                continue;
            };
            match check(entry, &device, self.how, self.watch) {
                Verdict::Good => {}
                Verdict::Restart => verdict = Verdict::Restart,
                Verdict::Damaged => {
                    self.bad.insert(entry.line);
                }
            }
        }
        verdict
    }

    fn take(&mut self, entry: &Entry) {
        let (line, point) = (entry.line, entry.point.display());
        if self.bad.contains(&entry.line) {
            log::error!("fstab line {line}: {point} is damaged, so it is not mounted");
            return;
        }
        let done = if entry.is_swap() { self.swap_on(entry) } else { self.mount(entry) };
        match done {
            Ok(()) => {}
            Err(why) if entry.has("nofail") => log::info!("fstab line {line}: {why}"),
            Err(why) => log::error!("fstab line {line}: {why}; the boot goes on without"),
        }
    }

    fn swap_on(&mut self, entry: &Entry) -> Result<(), String> {
        if self.in_container {
            log::info!("fstab line {}: swap is the machine's outside; left alone", entry.line);
            return Ok(());
        }
        let how = swap_plan(&entry.options)?;
        let device = self.find_device(entry)?;
        let device = device.canonicalize().unwrap_or(device);
        if swap::list().contains(&device) {
            return Ok(());
        }
        swap::on(&device, how).map_err(|error| error.to_string())
    }

    fn mount(&mut self, entry: &Entry) -> Result<(), String> {
        let mounted = mounts::list().unwrap_or_default();
        if let Some(mount) = mounted.iter().rfind(|mount| mount.point == entry.point) {
            if !entry.is_bind() && !self.in_container && says_more(entry, mount) {
                self.remount(entry, Some(mount));
            }
            return Ok(());
        }
        let device = self.find_device(entry)?;
        mounts::make_point(&entry.point).map_err(|error| error.to_string())?;
        let plan = plan(&entry.options);
        let helper = tools::find(&format!("mount.{}", entry.kind));
        let is_file = !entry.is_bind() && device.is_file();
        if plan.for_tool || helper.is_some() || is_file || entry.kind == "auto" {
            return self.mount_by_tool(entry, &device, &plan);
        }
        mount_by_call(&entry.kind, &device, &entry.point, &plan)
    }

    /// Has mount(8) do what mount(2) cannot: types that are not told, images, helpers.
    fn mount_by_tool(&mut self, entry: &Entry, device: &Path, plan: &Plan) -> Result<(), String> {
        let Some(program) = tools::find("mount") else {
            if entry.kind == "auto" && !plan.for_tool {
                return mount_any_kind(device, &entry.point, plan);
            }
            return Err(format!("{} needs mount(8), and there is none", entry.point.display()));
        };
        let mut command = tools::command(&program);
        command.arg("-t").arg(&entry.kind).arg("-o").arg(entry.options.join(","));
        command.arg("--").arg(device).arg(&entry.point);
        let failed =
            |why: String| format!("mount(8) cannot mount {}: {why}", entry.point.display());
        match tools::run(&mut command, self.watch) {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(failed(format!("{status}, see above"))),
            Err(e) => Err(failed(e.to_string())),
        }
    }

    /// Gives a file system that is mounted already the options of its line.
    fn remount(&mut self, entry: &Entry, mounted: Option<&Mount>) {
        let plan = plan(&entry.options);
        let same = mounted.is_some_and(|mount| mount.kind == entry.kind);
        // The words for another type's file system would only be refused.
        let data = if same { plan.data.as_str() } else { "" };
        let flags = plan.flags.difference(MsFlags::MS_BIND) | MsFlags::MS_REMOUNT;
        let source = mounted.map_or(Path::new("none"), |mount| &mount.source);
        match mounts::mount(source, &entry.point, &entry.kind, flags, data) {
            Ok(()) => {}
            Err(error) => log::error!(
                "fstab line {}: cannot remount with {}: {error}; it stays as it is",
                entry.line,
                entry.options.join(",")
            ),
        }
    }

    /// The device that an entry means, which may take a moment to appear.
    fn find_device(&mut self, entry: &Entry) -> Result<PathBuf, String> {
        let link = fstab::device_link(&entry.source);
        let source = Path::new(&entry.source);
        let in_dev = source.starts_with("/dev") && !entry.is_bind();
        if link.is_none() && !in_dev {
            return Ok(source.to_owned());
        }
        let mut told = entry.has("nofail");
        loop {
            let found = match &link {
                Some(link) if link.exists() => Some(link.clone()),
                Some(_) => ask_for_tag(entry),
                None => source.exists().then(|| source.to_owned()),
            };
            if let Some(device) = found {
                return Ok(device);
            }
            let shown = source.display();
            if entry.has("nofail") || Instant::now() >= self.until || self.watch.asked.is_some() {
                return Err(format!("there is no {shown}"));
            }
            if !told {
                told = true;
                let seconds = (self.until - Instant::now()).as_secs() + 1;
                log::info!("fstab line {}: waits up to {seconds} s for {shown}", entry.line);
            }
            self.watch.wait(Some(200));
        }
    }
}

/// Without udev nobody makes links for tags, but programs can look at the devices themselves.
fn ask_for_tag(entry: &Entry) -> Option<PathBuf> {
    let tag = entry.source.as_os_str();
    let found = tools::find("findfs").and_then(|findfs| tools::ask(&findfs, &[tag]));
    let by_blkid = || {
        let words = ["-l", "-o", "device", "-t"].map(std::ffi::OsStr::new);
        let [list, output, device, by] = words;
        tools::find("blkid").and_then(|it| tools::ask(&it, &[list, output, device, by, tag]))
    };
    found.or_else(by_blkid).map(PathBuf::from)
}

/// mount(2), and what it takes two calls for: flags of a bind mount, propagation. A device that is
/// write-protected is mounted read-only.
fn mount_by_call(kind: &str, device: &Path, point: &Path, plan: &Plan) -> Result<(), String> {
    let is_bind = plan.flags.contains(MsFlags::MS_BIND);
    let first = match is_bind {
        true => plan.flags & (MsFlags::MS_BIND | MsFlags::MS_REC),
        false => plan.flags,
    };
    let words = |error: crate::kernel::Error| error.to_string();
    match mounts::mount(device, point, kind, first, &plan.data) {
        Err(error) if [Errno::EROFS, Errno::EACCES].contains(&error.errno()) && !is_bind => {
            let read_only = first | MsFlags::MS_RDONLY;
            mounts::mount(device, point, kind, read_only, &plan.data).map_err(words)?;
            log::warn!("{} is write-protected; mounted read-only", device.display());
        }
        other => other.map_err(words)?,
    }
    let flags = plan.flags.difference(MsFlags::MS_BIND | MsFlags::MS_REC);
    if is_bind && !flags.is_empty() {
        let again = flags | MsFlags::MS_BIND | MsFlags::MS_REMOUNT;
        mounts::mount(device, point, kind, again, "").map_err(words)?;
    }
    if plan.propagation.is_empty() {
        return Ok(());
    }
    mounts::mount(Path::new("none"), point, "none", plan.propagation, "").map_err(words)
}

/// Tries every type of a disk's file system that the kernel knows.
fn mount_any_kind(device: &Path, point: &Path, plan: &Plan) -> Result<(), String> {
    let kinds = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let kinds = kinds.lines().filter(|line| !line.starts_with("nodev"));
    let mut tried = kinds.map(|line| mount_by_call(line.trim(), device, point, plan));
    if tried.any(|done| done.is_ok()) {
        return Ok(());
    }
    let (device, point) = (device.display(), point.display());
    Err(format!("no file system that this kernel knows is on {device}, for {point}"))
}
