//! What belongs to the machine as a whole: its name, its loopback interface, its end.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;
use nix::sys::reboot;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

pub use nix::sys::reboot::RebootMode;

use super::{Error, sys};

/// The inodes of the first namespaces (PROC_UTS_INIT_INO and PROC_PID_INIT_INO in the kernel's
/// proc_ns.h).
const FIRST_UTS_NAMESPACE: u64 = 0xEFFF_FFFE;
const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// Whether this process is in a pid namespace that somebody made on a machine, not in the
/// machine's own. Without `/proc` the answer is no.
#[must_use]
pub fn is_container() -> bool {
    namespace("pid").is_some_and(|inode| inode != FIRST_PID_NAMESPACE)
}

/// Whether this is a container whose hostname is that of the machine around it.
#[must_use]
pub fn shares_hostname() -> bool {
    is_container() && namespace("uts") == Some(FIRST_UTS_NAMESPACE)
}

fn namespace(kind: &str) -> Option<u64> {
    fs::metadata(format!("/proc/self/ns/{kind}")).ok().map(|namespace| namespace.ino())
}

/// Ctrl-Alt-Del sends SIGINT to process 1 from now on, instead of restarting the machine on the
/// spot.
///
/// # Errors
/// EINVAL in a pid namespace that is not the machine's own (reboot(2)), EPERM without
/// CAP_SYS_BOOT.
pub fn signal_on_ctrl_alt_del() -> Result<(), Error> {
    reboot::set_cad_enabled(false).map_err(|errno| Error::new("take", "Ctrl-Alt-Del", errno))
}

/// Gives the machine its name, at most 64 bytes (sethostname(2)).
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN.
pub fn set_hostname(name: &str) -> Result<(), Error> {
    nix::unistd::sethostname(name).map_err(|errno| Error::new("set the hostname", name, errno))
}

/// Switches the loopback interface on; the kernel gives it its addresses.
///
/// # Errors
/// EPERM without CAP_NET_ADMIN, EAFNOSUPPORT on a kernel without network.
pub fn raise_loopback() -> Result<(), Error> {
    let failed = |errno| Error::new("switch on", "the interface lo", errno);
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Inet, SockType::Datagram, flags, None).map_err(failed)?;
    sys::raise_interface(&socket, c"lo").map_err(failed)
}

/// Writes out everything that file systems hold back. Waits for the disks, for ever if need be.
pub fn sync() {
    nix::unistd::sync();
}

/// Ends the machine; inside a pid namespace of somebody's making this ends the namespace, and its
/// parent sees its process 1 killed by SIGHUP (restart) or SIGINT (all else).
///
/// Comes back only with an error: EPERM without CAP_SYS_BOOT, EINVAL for a kexec that nothing was
/// loaded for.
#[must_use]
pub fn end(mode: RebootMode) -> Error {
    let Err(errno) = reboot::reboot(mode);
    Error::new("end", "the machine by reboot(2)", errno)
}

/// Whether kexec(8) has loaded a kernel to go on with.
#[must_use]
pub fn has_next_kernel() -> bool {
    fs::read("/sys/kernel/kexec_loaded").is_ok_and(|text| text.starts_with(b"1"))
}

/// Makes an open terminal the controlling terminal of this process, which must lead its session.
/// A terminal that another session has is taken from it.
///
/// # Errors
/// What the kernel said.
pub fn take_terminal(terminal: impl std::os::fd::AsFd) -> io::Result<()> {
    sys::take_terminal(terminal.as_fd()).map_err(|errno: Errno| io::Error::from(errno))
}

/// Keeps every descriptor but 0 to 2 from the programs that are started: whoever started process 1
/// may have left some open.
pub fn keep_descriptors_to_ourselves() {
    // Before Linux 5.11 they stay as they are.
    let _ = sys::close_on_exec_from(3);
}

/// The standard descriptors (0 to 2) that were closed when process 1 was started, and stand open
/// on something useless since.
#[must_use]
pub fn closed_at_start() -> [bool; 3] {
    sys::closed_at_start()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_the_first_namespace_is_in_no_container() {
        let link = fs::read_link("/proc/self/ns/pid").unwrap();
        let first = link.to_str() == Some("pid:[4026531836]");
        assert_eq!(is_container(), !first);
    }
}
