//! Directives that no unit can say, each with the reason.

use super::report::{Verdict, dropped, kept_by};

const REASONS: &[(&[&str], &str)] = &[
    (&["OnFailure", "OnSuccess", "OnFailureJobMode", "OnSuccessJobMode"], "no unit starts another"),
    (
        &[
            "StartLimitAction",
            "FailureAction",
            "SuccessAction",
            "JobTimeoutAction",
            "RebootArgument",
        ],
        "no unit ends the machine",
    ),
    (&["JobTimeoutSec", "JobRunningTimeoutSec", "RuntimeMaxSec"], "only a start has a time-out"),
    (
        &["PropagatesReloadTo", "ReloadPropagatedFrom", "PropagatesStopTo", "StopPropagatedFrom"],
        "an order is for the units that it names",
    ),
    (
        &["StopWhenUnneeded", "AllowIsolate", "JoinsNamespaceOf", "BoundBy"],
        "there is nothing like it",
    ),
    (&["RootDirectory", "RootImage", "RootDirectoryStartOnly"], "write chroot in the command line"),
    (&["Slice"], "each unit has its own cgroup; there are no slices"),
    (
        &[
            "CPUWeight",
            "CPUShares",
            "StartupCPUWeight",
            "IOWeight",
            "BlockIOWeight",
            "MemoryLow",
            "MemoryMin",
            "MemoryHigh",
            "MemorySwapMax",
            "IODeviceWeight",
            "IOReadBandwidthMax",
            "IOWriteBandwidthMax",
            "AllowedCPUs",
            "ManagedOOMSwap",
            "ManagedOOMMemoryPressure",
        ],
        "a unit limits memory, processes and CPU",
    ),
    (
        &["IPAddressAllow", "IPAddressDeny", "IPAccounting", "SocketBindAllow", "SocketBindDeny"],
        "addresses are not filtered by cgroup",
    ),
    (&["LoadCredential", "SetCredential", "ImportCredential"], "there are no credentials"),
    (&["ExecPaths", "NoExecPaths", "ExecSearchPath"], "it is not limited what may be executed"),
    (&["PAMName", "UtmpIdentifier", "UtmpMode"], "the service makes its own session"),
    (&["TimeoutAbortSec", "CoredumpFilter", "TimerSlackNSec"], "there is nothing like it"),
    (&["FileDescriptorStoreMax", "Sockets", "ListenStream"], "no socket is handed over"),
    (&["SELinuxContext", "AppArmorProfile", "SmackProcessLabel"], "no security label is set"),
];

/// The verdict on a directive that no table knows.
pub(super) fn verdict(section: &str, key: &str) -> Verdict {
    if section.starts_with("X-") || key.starts_with("X-") {
        return kept_by("it means nothing to systemd, too");
    }
    let reason = REASONS.iter().find(|(keys, _)| keys.contains(&key)).map(|(_, why)| *why);
    match (section, reason) {
        ("Unit" | "Service" | "Install" | "Socket" | "Timer" | "Path", Some(why)) => dropped(why),
        ("Socket", None) => dropped("no socket is opened for it with this"),
        ("Timer" | "Path", None) => dropped("nothing starts it like this"),
        ("Unit" | "Service" | "Install", None) => dropped("there is nothing like it"),
        _ => dropped("it stands in no section that counts"),
    }
}
