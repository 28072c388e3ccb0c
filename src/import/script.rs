//! The lines of the script before the program: directories, mounts and redirections.

use super::layers::user;
use super::systemd::Import;
use super::words::shell_quoted;

/// The lines that make directories.
pub(super) fn directories(import: &Import) -> Vec<String> {
    let parts = &import.parts;
    let owner = user(import);
    let group = parts.group.as_ref().map(|(_, group)| group.as_str());
    let mut lines: Vec<String> = parts.prepared.iter().map(|(_, line)| line.clone()).collect();
    for directory in &parts.directories {
        let mode = parts.directory_modes.iter().rev().find(|(kind, _)| *kind == directory.kind);
        let mode = mode.map_or("0755", |(_, mode)| mode.as_str());
        let mut line = format!("install -d -m {mode}");
        if directory.kind != "ConfigurationDirectory" {
            if let Some(owner) = owner {
                line.push_str(&format!(" -o {}", shell_quoted(owner)));
            }
            match (group, owner) {
                (Some(group), _) => line.push_str(&format!(" -g {}", shell_quoted(group))),
                (None, Some(owner)) => {
                    line.push_str(&format!(" -g \"$(id -g {})\"", shell_quoted(owner)));
                }
                (None, None) => {}
            }
        }
        lines.push(format!("{line} {}", shell_quoted(&directory.path)));
    }
    lines
}

/// The lines that mount, in the order of their steps.
pub(super) fn mounts(import: &Import) -> Vec<String> {
    let parts = &import.parts;
    let mut steps: Vec<(u8, String)> =
        parts.steps.iter().map(|(_, step, line)| (*step, line.clone())).collect();
    if parts.is_strict {
        let own = parts.directories.iter().map(|it| shell_quoted(&it.path));
        let own: Vec<String> = own.map(|path| format!("mount --rbind {path} {path}")).collect();
        steps.extend(own.into_iter().map(|line| (2, line)));
    }
    let kept = steps.iter().filter(|(step, _)| *step == 2);
    // The path stands there twice.
    let kept = kept.filter_map(|(_, line)| line.split_once("mount --rbind "));
    let kept: Vec<&str> = kept.filter_map(|(_, both)| both.get(..both.len() / 2)).collect();
    if !kept.is_empty() {
        // The table of mounts has no links in its paths.
        let line = format!("rw=$(realpath -mq {})", kept.join(" "));
        steps.push((1, line));
    }
    if !parts.proc_options.is_empty() {
        let options = parts.proc_options.iter().map(|(_, option)| option.as_str());
        let options = options.collect::<Vec<_>>().join(",");
        steps.push((10, format!("mount -t proc -o nosuid,nodev,noexec,{options} proc /proc")));
    }
    steps.sort_by_key(|(step, _)| *step);
    let mut lines: Vec<String> = Vec::new();
    for (_, line) in steps {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

pub(super) fn redirects(import: &Import) -> Vec<String> {
    let parts = &import.parts;
    let mut lines: Vec<String> = parts.redirects.iter().map(|(_, line)| line.clone()).collect();
    let is_error = |line: &String| line.starts_with("exec 2");
    lines.sort_by_key(is_error);
    // Standard error goes where standard output goes, unless it was sent elsewhere.
    if !lines.is_empty() && !parts.has_own_error && !lines.iter().any(is_error) {
        lines.push("exec 2>&1".to_owned());
    }
    lines
}
