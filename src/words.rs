//! The one word for what the kernel said, wherever people are told.

use std::io;

/// The standard library's words without the number, which says nothing to people.
pub(crate) fn words_of(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::words_of;

    #[test]
    fn what_the_kernel_said_has_no_number() {
        assert_eq!(words_of(&io::Error::from_raw_os_error(2)), "No such file or directory");
        assert_eq!(words_of(&io::Error::other("it is not a FIFO")), "it is not a FIFO");
    }
}
