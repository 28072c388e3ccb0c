//! What the guest sees: its root, and in it /proc, /sys, /dev, /run, /tmp and what it is shown.

use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::options::{Bind, Options, Share};
use super::{Failure, NOT_SET_UP};
use crate::kernel::Error;
use crate::kernel::guest_mounts::{self as mounts, Device, Holds, Source};

/// Where the supervisor's directory is seen by a guest with `--control-socket`.
const TREEWARD: &str = "/run/treeward";

/// Where the directory of the notify socket is seen with `--notify`.
const NOTIFY: &str = "/run/host/notify";

/// Where every guest expects the cgroup tree.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Builds the guest's file system and makes it the root. The caller is in a mount namespace of
/// its own; `cgroup` says whether it has a cgroup of its own as well.
pub fn lay_out(options: &Options, cgroup: bool) -> Result<(), Failure> {
    mounts::make_private()?;
    mounts::no_umask();
    let host = Host::look(options)?;
    let root = root(options)?;
    let at = |path: &str| root.join(path.trim_start_matches('/'));
    for shared in &host.shared {
        shared.source.show_at(&at(shared.path))?;
    }
    if options.owns(Share::Proc) {
        mounts::new("proc", &at("/proc"), Holds::Nothing, "")?;
    }
    if options.owns(Share::Sys) && !host.keeps_sys {
        mounts::new("sysfs", &at("/sys"), Holds::Nothing, "")?;
    }
    if options.private_network && options.owns(Share::Sys) {
        mounts::raise_loopback(&at("/sys"))?;
    }
    if let Some(cgroups) = &host.cgroups {
        cgroups.show_at(&at(CGROUPS))?;
    }
    if options.owns(Share::Cgroup) && cgroup {
        own_cgroups(options, &root)?;
    }
    protect(options, &root)?;
    if options.owns(Share::Dev) {
        devices(&at("/dev"), &host)?;
    }
    if options.owns(Share::Run) {
        mounts::new("tmpfs", &at("/run"), Holds::Programs, "mode=0755")?;
        mounts::make_open_dir(&at("/run/lock"))?;
    }
    if options.owns(Share::Tmp) {
        mounts::new("tmpfs", &at("/tmp"), Holds::Programs, "mode=1777")?;
    }
    for (source, bind) in &host.shown {
        let target = root.join(bind.target.strip_prefix("/").unwrap_or(&bind.target));
        source.show_at(&target)?;
        if bind.read_only {
            mounts::make_read_only(&target)?;
        }
    }
    if root != Path::new("/") {
        mounts::change_root(&root)?;
    }
    mounts::usual_umask();
    Ok(())
}

/// Tells the guest where its notify socket is.
pub fn notify_variable(options: &Options, environment: &mut Vec<(String, String)>) {
    let Some(socket) = notify_socket(options) else { return };
    let path = match socket.file_name() {
        Some(name) if socket.is_absolute() => Path::new(NOTIFY).join(name),
        // An abstract one belongs to the network, which is the host's.
        _ => socket.clone(),
    };
    environment.push(("NOTIFY_SOCKET".to_owned(), path.to_string_lossy().into_owned()));
}

fn notify_socket(options: &Options) -> Option<PathBuf> {
    options.notify.then(|| std::env::var_os("NOTIFY_SOCKET").map(PathBuf::from)).flatten()
}

/// What of the host is shown inside, opened before anything is covered.
struct Host {
    shared: Vec<Shared>,
    shown: Vec<(Source, Bind)>,
    devices: Vec<(PathBuf, Device)>,
    console: Option<Source>,
    /// Whether /sys stays the host's, read-only: the host's cgroups stand on it.
    keeps_sys: bool,
    /// The host's cgroups, to be shown on a /sys that is new.
    cgroups: Option<Source>,
}

struct Shared {
    path: &'static str,
    source: Source,
}

impl Host {
    fn look(options: &Options) -> Result<Self, Failure> {
        let mut shared = Vec::new();
        // In the host's own root what is shared is there already.
        let other_root = options.root.is_some() || options.volatile;
        for (what, path) in [
            (Share::Proc, "/proc"),
            (Share::Sys, "/sys"),
            (Share::Dev, "/dev"),
            (Share::Run, "/run"),
            (Share::Tmp, "/tmp"),
        ] {
            if other_root && !options.owns(what) {
                shared.push(Shared { path, source: Source::open(path.as_ref())? });
            }
        }
        let keeps_sys = !options.owns(Share::Cgroup) && !other_root && !options.private_network;
        // On a /sys of its own the host's cgroups must be shown again.
        let hidden = !options.owns(Share::Cgroup) && options.owns(Share::Sys) && !keeps_sys;
        let cgroups = hidden.then(|| Source::open(CGROUPS.as_ref())).transpose()?;
        let shown = binds(options)?.into_iter();
        let shown = shown.map(|bind| Ok((Source::open(&bind.source)?, bind)));
        let devices = options.device.iter().map(|path| Ok((path.clone(), Device::open(path)?)));
        Ok(Self {
            shared,
            shown: shown.collect::<Result<_, Error>>()?,
            devices: devices.collect::<Result<_, Error>>()?,
            console: console(),
            keeps_sys,
            cgroups,
        })
    }
}

/// The directories of sockets are shown whole: a supervisor that is started anew makes a new
/// socket, which a mount of the old one would not lead to.
fn binds(options: &Options) -> Result<Vec<Bind>, Failure> {
    let mut binds = options.bind.clone();
    let sockets = [
        (options.control_socket.clone(), TREEWARD),
        (notify_socket(options).filter(|socket| socket.is_absolute()), NOTIFY),
    ];
    for (socket, target) in sockets {
        let Some(socket) = socket else { continue };
        if !socket.exists() {
            let text = format!("there is no {}: is the supervisor running?", socket.display());
            return Err(Failure { text, status: NOT_SET_UP });
        }
        let source = socket.parent().map(Path::to_owned).unwrap_or_default();
        // Connecting to a socket is no writing to its file system.
        binds.push(Bind { source, target: target.into(), read_only: true });
    }
    Ok(binds)
}

/// The terminal that we were started on.
fn console() -> Option<Source> {
    let terminal = nix::unistd::ttyname(std::io::stdout().as_fd()).ok()?;
    Source::open(&terminal).ok()
}

/// Where the guest's root is put together: in place when it is the host's own.
fn root(options: &Options) -> Result<PathBuf, Error> {
    let Some(dir) = options.root.as_deref().or(options.volatile.then_some(Path::new("/"))) else {
        return Ok("/".into());
    };
    let dir = Source::open(dir)?;
    // Any directory will do to put things together on: it is covered for us alone.
    let stage = ["/run", "/tmp", "/mnt"].map(Path::new);
    let stage = stage.into_iter().find(|dir| dir.is_dir()).unwrap_or(Path::new("/tmp"));
    mounts::new("tmpfs", stage, Holds::Devices, "mode=0755")?;
    let root = stage.join("root");
    if options.volatile {
        let lower = stage.join("lower");
        dir.show_at(&lower)?;
        mounts::new("tmpfs", &stage.join("changes"), Holds::Devices, "mode=0755")?;
        let (upper, work) = (stage.join("changes/upper"), stage.join("changes/work"));
        mounts::overlay(&lower, &upper, &work, &root)?;
    } else {
        dir.show_at(&root)?;
    }
    Ok(root)
}

/// A cgroup2 tree that begins at the guest's own group. The host's are taken away first: a second
/// mount over the first is refused (EBUSY), and a guest must not find another.
fn own_cgroups(options: &Options, root: &Path) -> Result<(), Error> {
    mounts::hide_cgroups(root);
    let at = root.join("sys/fs/cgroup");
    if !options.owns(Share::Sys) {
        mounts::uncover(&at);
    }
    mounts::new("cgroup2", &at, Holds::Nothing, "")
}

/// Makes read-only what reaches the machine from every mount namespace. `reboot(2)` is contained
/// by the pid namespace; the letter `b` to sysrq-trigger is not.
fn protect(options: &Options, root: &Path) -> Result<(), Error> {
    for (what, path) in
        [(Share::Sysctl, "proc/sys"), (Share::Sysrq, "proc/sysrq-trigger"), (Share::Sys, "sys")]
    {
        if options.owns(what) {
            mounts::make_read_only(&root.join(path))?;
        }
    }
    Ok(())
}

/// A /dev with nothing of the machine's in it: what a guest makes there, the link /dev/log above
/// all, stays its own.
fn devices(dev: &Path, host: &Host) -> Result<(), Error> {
    mounts::new("tmpfs", dev, Holds::Devices, "mode=0755")?;
    for (name, major, minor) in [
        ("null", 1, 3),
        ("zero", 1, 5),
        ("full", 1, 7),
        ("random", 1, 8),
        ("urandom", 1, 9),
        ("tty", 5, 0),
    ] {
        mounts::make_character_device(major, minor, &dev.join(name))?;
    }
    for (target, name) in [
        ("/proc/self/fd", "fd"),
        ("/proc/self/fd/0", "stdin"),
        ("/proc/self/fd/1", "stdout"),
        ("/proc/self/fd/2", "stderr"),
        ("pts/ptmx", "ptmx"),
    ] {
        mounts::link(target, &dev.join(name))?;
    }
    let options = "newinstance,ptmxmode=0666,mode=0620,gid=5";
    mounts::new("devpts", &dev.join("pts"), Holds::Devices, options)?;
    mounts::new("tmpfs", &dev.join("shm"), Holds::Programs, "mode=1777")?;
    // Without a terminal there is none: systemd would start a login on whatever has the name.
    if let Some(console) = &host.console {
        console.show_at(&dev.join("console"))?;
    }
    for (path, device) in &host.devices {
        let below = path.strip_prefix("/dev").unwrap_or(path);
        let below = below.as_os_str().as_bytes();
        let below = below.strip_prefix(b"/").unwrap_or(below);
        device.make_at(&dev.join(std::ffi::OsStr::from_bytes(below)))?;
    }
    Ok(())
}
