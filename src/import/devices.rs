//! Devices: which of them a service sees (`PrivateDevices=`, `DevicePolicy=`, `DeviceAllow=`), and
//! the units that stand for them (`dev-sda.device`).

use super::exec::{INSTANCE, UNESCAPED_INSTANCE};
use super::report::{Verdict, approximated, dropped, kept, kept_by};
use super::specifier::unescaped;
use super::systemd::{Counts, Directive, Import, Known};
use super::words::shell_quoted;
use super::yaml::Yaml;

pub(super) const KEYS: &[Known] = &[
    Known {
        section: "Service",
        keys: &["PrivateDevices"],
        counts: Counts::Once,
        read: |import, it| {
            if it.boolean()? {
                import.parts.devices.private = true;
                import.parts.devices.from.push(it.number);
                import.parts.privileges.deny(it.number, &["mknod", "sys_rawio"]);
            }
            Ok(approximated("a /dev by unshare(1) and mount(8), without CAP_MKNOD, CAP_SYS_RAWIO"))
        },
    },
    Known {
        section: "Service",
        keys: &["DevicePolicy"],
        counts: Counts::Once,
        read: |import, it| match it.value.as_str() {
            "auto" => Ok(kept()),
            "closed" | "strict" => Ok(own(import, it)),
            _ => Ok(dropped("there is no such policy")),
        },
    },
    Known { section: "Service", keys: &["DeviceAllow"], counts: Counts::All, read: allow },
];

/// What a service sees of `/dev`.
#[derive(Debug, Default)]
pub(super) struct Devices {
    /// No device of the machine, whatever else is allowed.
    private: bool,
    /// The directives that ask for a `/dev` of its own.
    from: Vec<usize>,
    /// The names below `/dev`, as patterns of sh, that are in it, too.
    allowed: Vec<String>,
}

const OWN: &str = "a /dev with the allowed devices alone, as they are at the start, by unshare(1) and \
                   mount(8), without CAP_MKNOD";

/// The nodes of a class of devices, as udev names them.
const CLASSES: &[(&str, &str)] = &[
    ("char-rtc", "rtc*"),
    ("char-pps", "pps*"),
    ("char-ptp", "ptp*"),
    ("char-input", "input"),
    ("char-drm", "dri"),
    ("char-alsa", "snd"),
    ("char-hidraw", "hidraw*"),
    ("char-tpm", "tpm*"),
    ("char-usb_device", "bus/usb"),
    ("char-ttyUSB", "ttyUSB*"),
    ("char-ttyACM", "ttyACM*"),
    ("char-ttyS", "ttyS*"),
    ("block-loop", "loop[0-9]*"),
];

fn own(import: &mut Import, it: &Directive) -> Verdict {
    import.parts.devices.from.push(it.number);
    import.parts.privileges.deny(it.number, &["mknod"]);
    approximated(OWN)
}

/// systemd's default policy is `closed` as soon as anything is allowed (systemd.resource-control(5)).
fn allow(import: &mut Import, it: &Directive) -> Result<Verdict, Verdict> {
    let words = it.words()?;
    let (Some(device), rights) = (words.first(), words.get(1)) else {
        return Ok(dropped("there is no device"));
    };
    if device == "char-pts" {
        return Ok(kept_by("it is always there"));
    }
    let class = CLASSES.iter().find(|(class, _)| class == device).map(|(_, nodes)| *nodes);
    let plain = device.strip_prefix("/dev/").filter(|name| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:".contains(c);
        !name.is_empty() && name.chars().all(is_plain) && !name.split('/').any(|it| it == "..")
    });
    let Some(name) = class.or(plain) else {
        return Ok(dropped("it is not known where its nodes are in /dev"));
    };
    import.parts.devices.allowed.push(name.to_owned());
    let verdict = own(import, it);
    Ok(match rights.map(String::as_str) {
        None | Some("rw" | "wr" | "rwm") => verdict,
        Some(_) => approximated(format!("{OWN}, and with all rights to them")),
    })
}

/// Adds the lines that make a `/dev` of its own.
pub(super) fn settle(import: &mut Import) {
    let devices = std::mem::take(&mut import.parts.devices);
    let Some(&number) = devices.from.first() else { return };
    let mut lines = String::from(BEGIN);
    if !devices.private && !devices.allowed.is_empty() {
        let allowed = devices.allowed.join(" ");
        lines.push_str(&ALLOWED.replace("ALLOWED", &allowed));
    }
    lines.push_str(END);
    import.parts.unshare.push((number, "--mount"));
    import.parts.steps.push((number, 7, lines));
}

/// A `/dev` without the machine's devices. What it is made of is still reached by its name in the
/// working directory.
const BEGIN: &str = "\
cd /dev
mount -t tmpfs -o mode=0755,nosuid,noexec tmpfs /dev
for n in null zero full random urandom tty log; do
  [ ! -e $n ] || { : >/dev/$n; mount -c --bind $n /dev/$n; }
done
for n in pts shm mqueue hugepages; do
  [ ! -d $n ] || { mkdir /dev/$n; mount -c --rbind $n /dev/$n; }
done
";

/// The devices that are allowed, a directory with all that is in it.
const ALLOWED: &str = "\
for n in ALLOWED; do
  [ -e $n ] && [ ! -e /dev/$n ] || continue
  mkdir -p $(dirname /dev/$n)
  if [ -d $n ]; then mkdir /dev/$n; mount -c --rbind $n /dev/$n
  else : >/dev/$n; mount -c --bind $n /dev/$n; fi
done
";

const END: &str = "\
ln -s pts/ptmx /dev/ptmx
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin; ln -s fd/1 /dev/stdout; ln -s fd/2 /dev/stderr
cd /";

/// systemd waits so many seconds for a device (systemd-system.conf(5), `DefaultDeviceTimeoutSec=`).
const PATIENCE: u32 = 90;

/// What a unit that stands for a device means: its node or its entry in sysfs.
fn path(stem: &str) -> String {
    // What is put in for the instance is escaped like the rest of the name.
    let path = format!("/{}", unescaped(stem).replace(INSTANCE, "\u{fdd1}"));
    match path.strip_prefix("/sys/subsystem/net/devices/") {
        Some(name) => format!("/sys/class/net/{name}"),
        None => path,
    }
}

/// How a service stands to a device, by `Requires=dev-sda.device` and the like. One that it needs is
/// waited for by a hook.
pub(super) fn relation(import: &mut Import, it: &Directive, name: &str, stem: &str) -> Verdict {
    let path = path(stem);
    let is_needed = matches!(it.key.as_str(), "Requires" | "Requisite" | "BindsTo" | "BindTo");
    match it.key.as_str() {
        "After" => return kept_by(format!("{name}: only what is required, too, is waited for")),
        _ if !is_needed && it.key != "Wants" => {
            return dropped(format!("{name}: no unit stands for a device"));
        }
        _ => {}
    }
    let line = format!(
        "n=0; until [ -e \"$0\" ]; do n=$((n + 1)); [ $n -le {PATIENCE} ] || \
         {{ echo \"$0 did not come within {PATIENCE} s\" >&2; exit 1; }}; sleep 1; done"
    );
    let limit = Yaml::bare(format!("{}s", PATIENCE + 10));
    let mut hook = vec![
        ("command".to_owned(), Yaml::list(["sh", "-c", &line, &path])),
        ("timeout".to_owned(), limit),
    ];
    if !is_needed {
        hook.push(("ignore_failure".to_owned(), Yaml::bare("true")));
    }
    import.draft.add("start_pre", Yaml::Map(hook), it.number);
    let shown = shell_quoted(&path.replace(UNESCAPED_INSTANCE, "%I"));
    let mut why = format!("start_pre waits for {shown}, at most {PATIENCE} s");
    if it.key.starts_with("Bind") {
        why.push_str("; the service is not stopped when it goes");
    }
    approximated(why)
}
