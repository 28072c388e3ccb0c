//! What is started: everything is looked up and turned into C strings before there is a child.

use std::ffi::{CString, NulError};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;

use nix::errno::Errno;
use nix::unistd::{self, Gid, Group, Uid, getgrouplist};

use super::child_sockets::LISTEN_PID;
use super::files::original_nofile_limit;

/// RLIMIT_NOFILE; its type differs between the C libraries, its number does not.
#[allow(clippy::unnecessary_cast, reason = "musl has it as i32")]
const NOFILE: u32 = libc::RLIMIT_NOFILE as u32;

/// Variables that mean something else once sockets are passed.
const LISTEN: [&str; 3] = ["LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID"];

/// Where a program without a slash is searched when its environment has no PATH; and the PATH of a
/// service that does not set its own.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program and the setting it runs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The program and its arguments. A program without a slash is searched in the PATH of
    /// `environment`.
    pub argv: Vec<String>,
    /// The whole environment; nothing is inherited.
    pub environment: Vec<(String, String)>,
    /// The working directory.
    pub working_dir: PathBuf,
    /// User name or number; the caller's own when absent.
    pub user: Option<String>,
    /// Group name or number; the user's own group when absent.
    pub group: Option<String>,
    /// File mode creation mask.
    pub umask: u32,
    /// Resource limits: `RLIMIT_*`, soft, hard; `u64::MAX` is unlimited.
    pub ulimits: Vec<(u32, u64, u64)>,
    /// Scheduling priority, -20 to 19.
    pub nice: Option<i32>,
    /// -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// A terminal that becomes the controlling terminal, input, output and error output.
    pub tty: Option<PathBuf>,
    /// The names of the sockets that it is passed, for `LISTEN_FDNAMES`.
    pub sockets: Vec<String>,
}

impl Default for Program {
    fn default() -> Self {
        Self {
            argv: Vec::new(),
            environment: Vec::new(),
            working_dir: PathBuf::from("/"),
            user: None,
            group: None,
            umask: 0o022,
            ulimits: Vec::new(),
            nice: None,
            oom_score_adj: None,
            tty: None,
            sockets: Vec::new(),
        }
    }
}

/// Why a program cannot even be tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// There is no program.
    #[error("the command is empty")]
    NoCommand,
    /// A text that goes to the kernel has a NUL in it.
    #[error("{0} must not contain a NUL character")]
    Nul(&'static str),
    /// The user is unknown.
    #[error("there is no user {0:?}")]
    NoUser(String),
    /// The group is unknown.
    #[error("there is no group {0:?}")]
    NoGroup(String),
    /// A number that the kernel takes to mean "leave as it is".
    #[error("{0} is not a usable user or group number")]
    BadId(String),
    /// A user number that the user database does not know has no group of its own.
    #[error("user {0} is not in the user database: a group must be given, too")]
    GroupNeeded(u32),
    /// The user database could not be read.
    #[error("cannot look up {name:?}: {} ({errno:?})", errno.desc())]
    LookUp {
        /// Who was looked for.
        name: String,
        /// The answer.
        errno: Errno,
    },
}

/// What the user database knows of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name; the number as text where the database has none.
    pub name: String,
    /// The number.
    pub uid: u32,
    /// The user's own group; `None` for a number that the database does not know.
    pub gid: Option<u32>,
    /// The home directory; `/` where unknown.
    pub home: PathBuf,
    /// The login shell; `/bin/sh` where unknown.
    pub shell: PathBuf,
}

/// Looks a user up by name or number. A number need not be in the user database.
///
/// # Errors
/// When there is no such user; an unknown name never means root.
pub fn lookup_user(user: &str) -> Result<User, PrepareError> {
    let failed = |errno| PrepareError::LookUp { name: user.to_owned(), errno };
    let (found, number) = match number(user)? {
        Some(uid) => (unistd::User::from_uid(Uid::from_raw(uid)), Some(uid)),
        None => (unistd::User::from_name(user), None),
    };
    match (found, number) {
        (Ok(Some(found)), _) => Ok(User {
            name: found.name,
            uid: found.uid.as_raw(),
            gid: Some(found.gid.as_raw()),
            home: found.dir,
            shell: found.shell,
        }),
        // getpwuid_r(3): some libraries answer ENOENT and its like for "no such user".
        (Ok(None) | Err(Errno::ENOENT | Errno::ESRCH), Some(uid)) => Ok(User {
            name: user.to_owned(),
            uid,
            gid: None,
            home: PathBuf::from("/"),
            shell: PathBuf::from("/bin/sh"),
        }),
        (Ok(None) | Err(Errno::ENOENT | Errno::ESRCH), None) => {
            Err(PrepareError::NoUser(user.to_owned()))
        }
        (Err(errno), _) => Err(failed(errno)),
    }
}

/// Looks a group up by name or number. A number need not be in the database.
///
/// # Errors
/// When there is no such group; an unknown name never means root's.
pub fn lookup_group(group: &str) -> Result<u32, PrepareError> {
    if let Some(gid) = number(group)? {
        return Ok(gid);
    }
    match Group::from_name(group) {
        Ok(Some(found)) => Ok(found.gid.as_raw()),
        Ok(None) | Err(Errno::ENOENT | Errno::ESRCH) => {
            Err(PrepareError::NoGroup(group.to_owned()))
        }
        Err(errno) => Err(PrepareError::LookUp { name: group.to_owned(), errno }),
    }
}

/// The text as an id if it is digits only. `u32::MAX` is -1 to the kernel: "do not change", which
/// would leave a service root.
fn number(text: &str) -> Result<Option<u32>, PrepareError> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse() {
        Ok(id) if id != u32::MAX => Ok(Some(id)),
        _ => Err(PrepareError::BadId(text.to_owned())),
    }
}

/// The ids that a child takes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ids {
    /// `None` when only the group changes.
    pub(super) uid: Option<u32>,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
}

/// A program ready to be started any number of times.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub(super) argv: Vec<CString>,
    /// The last one is [`LISTEN_PID`] where sockets are passed.
    pub(super) environment: Vec<CString>,
    /// The paths to try, in order.
    pub(super) candidates: Vec<CString>,
    pub(super) working_dir: CString,
    pub(super) ids: Option<Ids>,
    pub(super) umask: u32,
    pub(super) ulimits: Vec<(u32, [u64; 2])>,
    pub(super) nice: Option<i32>,
    pub(super) oom_score_adj: Option<String>,
    pub(super) tty: Option<CString>,
    /// A descriptor that the program gets, and its number there.
    pub(super) pass: Option<(Arc<OwnedFd>, RawFd)>,
    /// How many sockets it is passed.
    pub(super) sockets: usize,
}

impl Prepared {
    /// Looks everything up.
    ///
    /// # Errors
    /// When the program cannot be tried: see [`PrepareError`].
    pub fn new(program: &Program) -> Result<Self, PrepareError> {
        let name = program.argv.first().filter(|name| !name.is_empty());
        let name = name.ok_or(PrepareError::NoCommand)?;
        let path = program.environment.iter().rev().find(|(key, _)| key == "PATH");
        let path = path.map_or(DEFAULT_PATH, |(_, value)| value);
        let pairs = with_sockets(program);
        let tty = program.tty.as_ref().map(|tty| tty.as_os_str().as_bytes());
        Ok(Self {
            argv: c_strings(program.argv.iter().cloned(), "the command")?,
            environment: c_strings(pairs.into_iter(), "the environment")?,
            candidates: c_strings(candidates(name, path).into_iter(), "the command")?,
            working_dir: c_string(
                program.working_dir.clone().into_os_string().into_vec(),
                "the working directory",
            )?,
            ids: ids(program.user.as_deref(), program.group.as_deref())?,
            umask: program.umask & 0o777,
            ulimits: with_original_nofile(&program.ulimits),
            nice: program.nice,
            oom_score_adj: program.oom_score_adj.map(|adjustment| adjustment.to_string()),
            tty: tty.map(|tty| c_string(tty, "the terminal")).transpose()?,
            pass: None,
            sockets: program.sockets.len(),
        })
    }

    /// Gives the program a descriptor under this number, which must be above 2.
    #[must_use]
    pub fn passing(self, fd: OwnedFd, number: RawFd) -> Self {
        Self { pass: Some((Arc::new(fd), number)), ..self }
    }
}

/// The environment as it is passed; what sd_listen_fds(3) wants comes last.
fn with_sockets(program: &Program) -> Vec<String> {
    let names = &program.sockets;
    let ours = |key: &str| !names.is_empty() && LISTEN.contains(&key);
    let given = program.environment.iter().filter(|(key, _)| !ours(key));
    let mut pairs: Vec<String> = given.map(|(key, value)| format!("{key}={value}")).collect();
    if !names.is_empty() {
        pairs.push(format!("LISTEN_FDS={}", names.len()));
        pairs.push(format!("LISTEN_FDNAMES={}", names.join(":")));
        pairs.push(LISTEN_PID.to_owned());
    }
    pairs
}

fn c_string(text: impl Into<Vec<u8>>, what: &'static str) -> Result<CString, PrepareError> {
    CString::new(text).map_err(|_: NulError| PrepareError::Nul(what))
}

fn c_strings(
    texts: impl Iterator<Item = String>,
    what: &'static str,
) -> Result<Vec<CString>, PrepareError> {
    texts.map(|text| c_string(text, what)).collect()
}

/// As execvp(3) searches, but that an empty part of PATH, which would mean the working directory,
/// is passed over.
pub(super) fn candidates(name: &str, path: &str) -> Vec<String> {
    if name.contains('/') {
        return vec![name.to_owned()];
    }
    let dirs = path.split(':').filter(|dir| !dir.is_empty());
    dirs.map(|dir| format!("{}/{name}", dir.trim_end_matches('/'))).collect()
}

/// Whether a child could take on this user and group: what its start would say.
///
/// # Errors
/// When one of them cannot be looked up, see [`PrepareError`].
pub fn check_ids(user: Option<&str>, group: Option<&str>) -> Result<(), PrepareError> {
    ids(user, group).map(drop)
}

/// The limits asked for; and the limit of descriptors that this process itself was started with,
/// unless another is asked for: a service must not inherit a supervisor's raised one, since
/// programs that use select(2) or close every possible descriptor break on it.
fn with_original_nofile(ulimits: &[(u32, u64, u64)]) -> Vec<(u32, [u64; 2])> {
    let asked = ulimits.iter().any(|(resource, ..)| *resource == NOFILE);
    let original = original_nofile_limit().filter(|_| !asked);
    let original = original.map(|(soft, hard)| (NOFILE, [soft, hard]));
    let limits = ulimits.iter().map(|&(resource, soft, hard)| (resource, [soft, hard]));
    limits.chain(original).collect()
}

fn ids(user: Option<&str>, group: Option<&str>) -> Result<Option<Ids>, PrepareError> {
    let gid = group.map(lookup_group).transpose()?;
    let ids = match (user.map(lookup_user).transpose()?, gid) {
        (None, None) => return Ok(None),
        (None, Some(gid)) => Ids { uid: None, gid, groups: vec![gid] },
        (Some(user), gid) => {
            let gid = gid.or(user.gid).ok_or(PrepareError::GroupNeeded(user.uid))?;
            let groups = match user.gid {
                Some(_) => groups_of(&user.name, gid)?,
                None => vec![gid],
            };
            Ids { uid: Some(user.uid), gid, groups }
        }
    };
    // Without privilege even a change to what one is already is refused (setgroups(2)).
    let unchanged = ids.uid.is_none_or(|uid| uid == Uid::effective().as_raw())
        && ids.gid == Gid::effective().as_raw();
    Ok(Some(ids).filter(|_| Uid::effective().is_root() || !unchanged))
}

/// The supplementary groups of a user, `gid` among them.
fn groups_of(name: &str, gid: u32) -> Result<Vec<u32>, PrepareError> {
    let user = c_string(name, "the user")?;
    let groups = getgrouplist(&user, Gid::from_raw(gid))
        .map_err(|errno| PrepareError::LookUp { name: name.to_owned(), errno })?;
    Ok(groups.into_iter().map(Gid::as_raw).collect())
}

#[cfg(test)]
mod tests;
