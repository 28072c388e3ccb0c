//! Sizes of memory in Compose's words: `512m` is 536,870,912 bytes.

use super::diagnostic::{Wrong, quoted};

/// What a size looks like, for diagnostics.
pub(super) const FORM: &str = "a size such as 512m, 1.5g or 65536 (bytes)";

/// Bytes out of the text. Units are powers of 1024, as the kernel's are, with or without `b`.
pub(super) fn parse(text: &str) -> Result<u64, Wrong> {
    let wrong = || Wrong::new(format!("{} is no size", quoted(text)));
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "ki" | "kib" => 10,
        "m" | "mb" | "mi" | "mib" => 20,
        "g" | "gb" | "gi" | "gib" => 30,
        "t" | "tb" | "ti" | "tib" => 40,
        _ => return Err(wrong()),
    };
    let too_large = || Wrong::new(format!("{} is more than any machine has", quoted(text)));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || (number.contains('.') && (fraction.is_empty() || shift == 0)) {
        return Err(wrong());
    }
    if !fraction.bytes().all(|b| b.is_ascii_digit()) || fraction.len() > 6 {
        return Err(wrong());
    }
    let whole: u128 = whole.parse().map_err(|_| too_large())?;
    let part: u128 = format!("0{fraction}").parse().map_err(|_| wrong())?;
    let bytes = whole
        .checked_mul(1 << shift)
        .and_then(|bytes| bytes.checked_add((part << shift) / 10u128.pow(fraction.len() as u32)));
    // The kernel counts memory in signed 64-bit bytes.
    match bytes.and_then(|bytes| i64::try_from(bytes).ok()) {
        None => Err(too_large()),
        Some(0) => {
            Err(Wrong::new("no program runs in 0 bytes").hint("leave the key out for no limit"))
        }
        Some(bytes) => Ok(bytes.unsigned_abs()),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes) in [
            ("1", 1),
            ("65536", 65_536),
            ("100b", 100),
            ("64k", 65_536),
            ("512m", 536_870_912),
            ("512M", 536_870_912),
            ("512mb", 536_870_912),
            ("512MiB", 536_870_912),
            ("512 m", 536_870_912),
            ("1.5g", 1_610_612_736),
            ("2t", 2_199_023_255_552),
            ("9223372036854775807", i64::MAX.unsigned_abs()),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "",
            "0",
            "0m",
            "-1",
            "m",
            "1.5",
            "1.",
            ".5g",
            "1.m",
            "1.2.3g",
            "1e9",
            "max",
            "12x",
            "50%",
            "1 000",
            "0x10",
            "9223372036854775808",
            "99999999999999999999999999999999999999t",
            "8388608t",
            "1.0000001g",
            "٣m",
        ] {
            assert!(parse(text).is_err(), "{text:?} gave {:?}", parse(text));
        }
    }
}
