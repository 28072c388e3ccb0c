use super::*;

fn entries(text: &str) -> Vec<Entry> {
    let (entries, mistakes) = parse(text.as_bytes());
    assert_eq!(mistakes, [], "{text}");
    entries
}

fn mistake(line: &str) -> String {
    let (entries, mistakes) = parse(line.as_bytes());
    assert_eq!((entries.len(), mistakes.len()), (0, 1), "{line}");
    mistakes[0].to_string()
}

fn points(entries: Vec<Entry>) -> Vec<String> {
    entries.into_iter().map(|entry| entry.point.to_str().unwrap().to_owned()).collect()
}

#[test]
fn a_usual_file_is_read_with_its_lines_and_fields() {
    let text = "# /etc/fstab\n\n\
        UUID=1-2   /            ext4  errors=remount-ro,noatime  0 1\r\n\
        \t/dev/sdb1\t/mnt/my\\040disk/\tvfat\n\
        /swapfile  none  swap  sw,pri=5  0 0 # a comment\n\
        tmpfs //tmp/. tmpfs size=1g,mode=1777,context=\"a,b\",,nofail 0\n";
    let entries = entries(text);
    assert_eq!(entries.iter().map(|entry| entry.line).collect::<Vec<_>>(), [3, 4, 5, 6]);
    assert_eq!(entries[0].options, ["errors=remount-ro", "noatime"]);
    assert_eq!((entries[0].pass, entries[0].is_root()), (1, true));
    assert_eq!((&*entries[1].kind, entries[1].pass), ("vfat", 0));
    assert_eq!(entries[1].point, Path::new("/mnt/my disk"));
    assert_eq!(entries[1].options, ["defaults"]);
    assert!(entries[2].is_swap() && !entries[2].is_root());
    assert_eq!(entries[2].values("pri").collect::<Vec<_>>(), ["5"]);
    assert_eq!(entries[3].point.as_os_str(), "/tmp");
    assert_eq!(entries[3].options, ["size=1g", "mode=1777", "context=\"a,b\"", "nofail"]);
    assert!(entries[3].has("nofail") && !entries[3].has("mode"));
}

#[test]
fn a_wrong_line_is_named_and_the_others_stay() {
    let (entries, mistakes) = parse(b"/dev/sda1 /a\n/dev/sda2 /b ext4\n/dev/sda3 c ext4\n");
    assert_eq!(points(entries), ["/b"]);
    let said: Vec<String> = mistakes.iter().map(Mistake::to_string).collect();
    assert_eq!(
        said,
        [
            "line 1: needs at least a device, a mount point and a type",
            "line 3: the mount point does not begin with a slash"
        ]
    );
    assert_eq!(mistake("a"), "line 1: needs at least a device, a mount point and a type");
    assert_eq!(mistake("/dev/a /a ext4 ro 0 x"), "line 1: the sixth field is no number");
    assert_eq!(mistake("/dev/a /a ext4 ro 0 -1"), "line 1: the sixth field is no number");
    assert_eq!(mistake("/dev/a /a/../b ext4"), "line 1: the mount point has a .. in it");
    assert_eq!(mistake("/dev/a /a\0 ext4"), "line 1: holds a NUL byte");
    assert_eq!(
        mistake("//host/my share /mnt cifs ro 0 0 0"),
        "line 1: \"0\" is a seventh field: a blank in a path is \\040"
    );
    let (kept, twice) = parse(b"/dev/a /a ext4\n/dev/b /a/ ext4\n");
    assert_eq!(
        (kept.len(), twice[0].to_string().as_str()),
        (1, "line 2: /a has a line above already")
    );
}

#[test]
fn what_others_need_is_mounted_first() {
    let text = "/dev/1 /var/log ext4\n/dev/2 /home ext4\n/dev/3 / ext4\n/dev/4 /var ext4\n\
        /srv/pool/home /bound none bind\n/dev/5 /srv/pool ext4\n";
    let order = points(in_order(entries(text)));
    assert_eq!(order, ["/", "/home", "/var", "/var/log", "/srv/pool", "/bound"]);

    let text = "overlay /o overlay lowerdir=/l/a:/deep/er/low,upperdir=/u,workdir=/w 0 0\n\
        /img/disk.img /loop ext4 loop 0 0\n/dev/1 /a ext4 x-systemd.requires-mounts-for=/z/y 0 0\n\
        /dev/2 /img ext4\n/dev/3 /deep/er ext4\n/dev/4 /z ext4\n/u /u none bind\n\
        /img/swap none swap sw 0 0\n";
    let order = points(in_order(entries(text)));
    assert_eq!(order, ["/img", "/loop", "/z", "/a", "/u", "/deep/er", "/o", "none"]);
}

#[test]
fn a_circle_of_needs_ends_in_the_order_of_the_file() {
    let text = "/b/x /a none bind\n/a/x /b none bind\n/dev/1 /c ext4\n";
    assert_eq!(points(in_order(entries(text))), ["/c", "/a", "/b"]);
}

#[test]
fn a_longer_name_is_not_below_a_shorter_one() {
    assert_eq!(points(in_order(entries("/dev/1 /ab ext4\n/x /a none bind\n"))), ["/ab", "/a"]);
}

#[test]
fn the_network_is_needed_by_word_or_by_type() {
    let text = "h:/x /n nfs\n/dev/a /i ext4 _netdev\n/dev/b /l ext4\n";
    let needs: Vec<bool> = entries(text).iter().map(Entry::needs_network).collect();
    assert_eq!(needs, [true, true, false]);
}

#[test]
fn a_tag_is_looked_for_where_udev_links_it() {
    for (source, link) in [
        ("UUID=0a-1", Some("/dev/disk/by-uuid/0a-1")),
        ("LABEL=\"my disk/1\"", Some("/dev/disk/by-label/my\\x20disk\\x2f1")),
        ("LABEL=é", Some("/dev/disk/by-label/é")),
        ("PARTUUID=x", Some("/dev/disk/by-partuuid/x")),
        ("PARTLABEL=root", Some("/dev/disk/by-partlabel/root")),
        ("UUID=", None),
        ("UUID", None),
        ("/dev/sda=1", None),
        ("label=x", None),
    ] {
        assert_eq!(device_link(&source.into()), link.map(PathBuf::from), "{source}");
    }
}

/// Takes any bytes through everything that is pure: also what a fuzzer would call.
fn survive(bytes: &[u8]) {
    let (entries, mistakes) = parse(bytes);
    let lines = bytes.split(|byte| *byte == b'\n').count();
    assert!(entries.len() + mistakes.len() <= lines);
    let count = entries.len();
    for entry in &entries {
        assert!(entry.line >= 1 && entry.line <= lines);
        assert!(entry.is_swap() || entry.point.is_absolute());
        let _ = device_link(&entry.source);
    }
    assert_eq!(in_order(entries).len(), count, "no entry is lost or doubled by the order");
}

#[test]
fn no_bytes_make_it_panic_or_lose_an_entry() {
    let words: [&[u8]; 16] = [
        b"/dev/a",
        b"/a",
        b"/a/b",
        b"ext4",
        b"swap",
        b"none",
        b"bind",
        b"\\040",
        b"#",
        b"\n",
        b"\n",
        b"\t",
        b"\xff\xfe",
        b"lowerdir=/a",
        b"0",
        b"\\",
    ];
    let mut state = 1_u64;
    let mut random = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    for _ in 0..3_000 {
        let mut text = Vec::new();
        for _ in 0..random() % 60 {
            text.extend_from_slice(words[random() % words.len()]);
            text.extend_from_slice(if random() % 3 == 0 { b"" } else { b" " });
        }
        survive(&text);
        let noise: Vec<u8> = (0..random() % 200).map(|_| random() as u8).collect();
        survive(&noise);
    }
    survive(&vec![b'x'; 1 << 20]);
    survive("/dev/a /a ext4\n".repeat(2_000).as_bytes());
}
