//! What holds for everything that a client can send.

use std::io::Write;
use std::os::unix::net::UnixStream;

use super::MAX_MESSAGE;
use super::connection::Connection;
use super::listener::{Access, Peer};
use super::message::Failure;
use super::wire::{self, Answer, End, Question};

/// Takes what a connection says: its messages are found whole and in order, each is understood or
/// refused, and what is understood means the same once it is written and read again.
pub fn control(input: &[u8]) {
    // What a connection takes is bounded, and so is what a socket holds that nobody reads.
    let input = &input[..input.len().min(2 * MAX_MESSAGE)];
    let (messages, rest) = messages(input);
    messages.iter().for_each(|message| understand(message));
    let (heard, refused) = hear(input);
    let expected: Vec<&[u8]> =
        messages.into_iter().filter(|message| !message.trim_ascii().is_empty()).collect();
    assert_eq!(heard, expected[..heard.len()]);
    let lengths = expected.iter().map(|message| message.len()).chain([rest]);
    assert_eq!(refused, lengths.max().is_some_and(|length| length >= MAX_MESSAGE));
    assert!(refused || heard.len() == expected.len(), "{} of {}", heard.len(), expected.len());
}

/// Cuts at the ends, and says how many bytes are left over.
fn messages(mut input: &[u8]) -> (Vec<&[u8]>, usize) {
    let mut found = Vec::new();
    while let Some((length, end)) = wire::first_end(input) {
        assert_eq!(input[length], end.bytes()[0]);
        found.push(&input[..length]);
        input = &input[length + 1..];
    }
    assert!(!input.contains(&0) && !input.contains(&b'\n'));
    (found, input.len())
}

/// What a connection takes for messages, and whether it hung up on one that is too long.
fn hear(input: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let (mut client, server) = UnixStream::pair().expect("a pair of sockets");
    let peer = Peer { pid: 1, uid: 0 };
    let mut connection = Connection::new(server, peer, Access::Look);
    client.write_all(input).expect("a socket holds as much");
    client.shutdown(std::net::Shutdown::Write).expect("shutdown");
    let mut heard = Vec::new();
    loop {
        let received = connection.receive();
        while let Some((message, _)) = connection.next_message() {
            heard.push(message);
        }
        let waits_for = connection.settle(0);
        if !received && waits_for.is_empty() {
            break;
        }
    }
    client.set_nonblocking(true).expect("nonblocking");
    let mut answer = Vec::new();
    let _ = std::io::Read::read_to_end(&mut client, &mut answer);
    (heard, !answer.is_empty())
}

fn understand(message: &[u8]) {
    let asked = match wire::read_call(message) {
        Ok(asked) => asked,
        Err(failure) => return check_failure(&failure),
    };
    match asked.what {
        Ok(Question::Ours(request)) => {
            let written = wire::write_call(&request);
            let (length, end) = wire::first_end(&written).expect("an end");
            assert_eq!((length + 1, end), (written.len(), End::Nul));
            let again = wire::read_call(&written[..length]).expect("our own call");
            assert_eq!(again.what, Ok(Question::Ours(request)));
        }
        Ok(Question::Standard(value)) => {
            one_message(&Answer::Standard(&value));
        }
        Err(failure) => check_failure(&failure),
    }
}

/// A failure quotes what the client sent, and arrives as one message with just that in it.
fn check_failure(failure: &Failure) {
    let written = one_message(&Answer::Failed(failure));
    let read = wire::read_answer::<super::message::Listing>(&written).expect("an answer");
    assert_eq!(&read.expect_err("a failure"), failure);
}

/// Writes an answer: one end, where it belongs.
fn one_message(answer: &Answer<'_>) -> Vec<u8> {
    let mut written = Vec::new();
    wire::write_answer(&mut written, answer, End::Newline);
    let length = wire::first_end(&written).map(|(length, _)| length);
    assert_eq!(length, Some(written.len() - 1), "{:?}", String::from_utf8_lossy(&written));
    written.pop();
    written
}
