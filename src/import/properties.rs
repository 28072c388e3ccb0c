//! What holds for every file that somebody could want to import.

use super::{Fate, File, Imported, OtherService, RunDirectory, Systemd};

/// Imports a text as a service, an instance, a socket's service, a Compose file and a run
/// directory: whatever comes out is good units, and a fate for every directive.
pub fn import(input: &[u8]) {
    let text = String::from_utf8_lossy(input).into_owned();
    let file = || File { path: "web.service".to_owned(), text: text.clone() };
    for name in ["web.service", "web@one.service", "web@.service"] {
        let source = Systemd { name: name.to_owned(), files: vec![file()], ..Systemd::default() };
        let imported = super::systemd(&source);
        assert_eq!(imported, super::systemd(&source), "the same file gives the same unit");
        check(imported);
    }
    let neighbour = |name: &str| OtherService {
        name: format!("{name}.service"),
        own: "web-db.service".to_owned(),
        files: vec![file()],
    };
    let service = "[Service]\nExecStart=/bin/true\n".to_owned();
    let beside = ["socket", "timer", "path"].map(|kind| (format!("web.{kind}"), vec![file()]));
    check(super::systemd(&Systemd {
        name: "web.service".to_owned(),
        files: vec![File { path: "web.service".to_owned(), text: service }, file()],
        beside: beside.into(),
        tmpfiles: vec![File { path: "web.conf".to_owned(), text: text.clone() }],
        others: ["web-db", "aside"].map(neighbour).into(),
        passwd: text.clone(),
    }));
    check(super::compose(&file(), "/srv/web"));
    let files = ["run", "type", "notification-fd", "down-signal", "timeout-kill", "dependencies"];
    check(super::run_directory(&RunDirectory {
        name: "web".to_owned(),
        path: "/etc/sv/web".to_owned(),
        files: files.map(|name| (name.to_owned(), text.clone())).into(),
    }));
}

fn check(imported: Result<Imported, String>) {
    let Ok(imported) = imported else { return };
    assert!(!imported.units.is_empty());
    for unit in imported.units.iter().filter(|unit| !unit.file.contains('/')) {
        let path = std::path::Path::new(&unit.file);
        let read = match unit.file.ends_with("@.yml") {
            true => crate::unit_file::parse_template(path, &unit.text),
            false => crate::unit_file::parse(path, &unit.text),
        };
        assert!(read.is_ok(), "{:?} of\n{}", read, unit.text);
    }
    for entry in &imported.entries {
        let explained = entry.fate == Fate::Kept || !entry.why.is_empty();
        assert!(explained, "{entry} has no reason");
        assert!(!entry.to_string().contains('\n'), "{entry}");
    }
}
