use std::io::Write;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use super::*;

fn stream(place: Place) -> Wanted {
    wanted(place, Talk::Stream)
}

#[test]
fn a_port_of_every_address_is_reached_by_both_families() {
    // Port 0 is any free one, the same for both families.
    let (fd, file) = open(&stream(Place::AnyInet(0))).unwrap();
    assert_eq!(file, None);
    assert!(!is_readable(&fd));
    let listener = TcpListener::from(fd);
    let port = listener.local_addr().unwrap().port();
    let _here = TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert!(is_readable(&listener));
    let (_, from) = listener.accept().unwrap();
    assert!(from.ip().to_canonical().is_loopback(), "{from}");
    let taken = open(&stream(Place::AnyInet(port))).unwrap_err();
    assert_eq!(taken.errno(), Errno::EADDRINUSE);
    assert!(taken.to_string().starts_with(&format!("cannot listen on port {port}: ")), "{taken}");
}

#[test]
fn datagrams_and_sequential_packets() {
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (udp, _) = open(&wanted(Place::Inet(at), Talk::Datagram)).unwrap();
    let udp = UdpSocket::from(udp);
    let to = udp.local_addr().unwrap();
    UdpSocket::bind(at).unwrap().send_to(b"x", to).unwrap();
    assert!(is_readable(&udp));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("packets");
    let (fd, _) = open(&wanted(Place::Path(path.clone()), Talk::SequentialPackets)).unwrap();
    let kind = nix::sys::socket::getsockopt(&fd, sockopt::SockType).unwrap();
    assert_eq!(kind, SockType::SeqPacket);
}

#[test]
fn an_abstract_name_is_taken_once() {
    let name = format!("treeward-test-{}", std::process::id());
    let place = Place::Abstract(name);
    let _held = open(&stream(place.clone())).unwrap();
    assert_eq!(open(&stream(place)).unwrap_err().errno(), Errno::EADDRINUSE);
}

#[test]
fn a_socket_file_has_its_mode_and_its_directories_and_goes_only_if_it_is_ours() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b/sock");
    let (fd, id) = open(&Wanted { mode: 0o622, ..stream(Place::Path(path.clone())) }).unwrap();
    let metadata = fs::symlink_metadata(&path).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o622);
    UnixStream::connect(&path).unwrap();
    let id = id.unwrap();
    assert_eq!((id.device, id.inode), (metadata.dev(), metadata.ino()));
    drop(fd);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "another").unwrap();
    id.remove();
    assert!(path.exists());
}

#[test]
fn a_dead_socket_is_replaced_and_nothing_else_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sock");
    let place = Place::Path(path.clone());
    let refused = |why: &str| {
        let error = open(&stream(place.clone())).unwrap_err();
        assert_eq!(error.errno(), Errno::EADDRINUSE, "{why}");
    };
    let listener = UnixListener::bind(&path).unwrap();
    refused("somebody listens");
    drop(listener);
    let (fd, id) = open(&stream(place.clone())).unwrap();
    drop(fd);
    id.unwrap().remove();
    assert!(!path.exists());
    // Somebody who takes datagrams answers a stream by EPROTOTYPE.
    let datagrams = UnixDatagram::bind(&path).unwrap();
    refused("somebody takes datagrams");
    drop(datagrams);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "text").unwrap();
    refused("it is a file");
    fs::remove_file(&path).unwrap();
    symlink(dir.path().join("elsewhere"), &path).unwrap();
    refused("it is a link");
    assert!(!dir.path().join("elsewhere").exists());
}

#[test]
fn a_strangers_link_on_the_way_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real"), dir.path().join("link"));
    fs::create_dir(&real).unwrap();
    symlink(&real, &link).unwrap();
    open(&stream(Place::Path(link.join("sock")))).unwrap();
    fs::remove_file(real.join("sock")).unwrap();
    if Uid::effective().is_root() {
        std::os::unix::fs::lchown(&link, Some(65_534), None).unwrap();
        let error = open(&stream(Place::Path(link.join("sock")))).unwrap_err();
        assert_eq!(error.errno(), Errno::ELOOP);
        assert!(!real.join("sock").exists());
    }
}

#[test]
fn a_fifo_is_readable_when_somebody_has_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    let (fd, id) = open(&wanted(Place::Path(path.clone()), Talk::Fifo)).unwrap();
    assert!(!is_readable(&fd));
    let mut writer = fs::File::options().write(true).open(&path).unwrap();
    writer.write_all(b"x").unwrap();
    assert!(is_readable(&fd));
    // The same one is taken again.
    let (_, again) = open(&wanted(Place::Path(path.clone()), Talk::Fifo)).unwrap();
    assert_eq!(again, id);
}
