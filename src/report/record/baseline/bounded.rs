//! Bounds of what is held of a report, whoever made it.

use std::fmt;
use std::io::{self, Read};
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// Most bytes of a list: half more than those of all listeners that are kept apart, each with all causes.
const MOST_BYTES: usize = 8 << 20;

/// Most bytes of a text, as it is written: eight times those of the longest path.
const MOST_TEXT: usize = 32 << 10;

/// Knows how much memory it takes.
pub(super) trait HeldBytes {
    /// Bytes of it in memory.
    fn held_bytes(&self) -> usize;
}

/// A list that takes at most [`MOST_BYTES`].
pub(super) struct BoundedList<T>(pub(super) Vec<T>);

impl<T> Default for BoundedList<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de> + HeldBytes> Deserialize<'de> for BoundedList<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + HeldBytes> Visitor<'de> for ListVisitor<T> {
    type Value = BoundedList<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<BoundedList<T>, A::Error> {
        let (mut list, mut bytes) = (Vec::new(), 0_usize);
        while let Some(element) = elements.next_element::<T>()? {
            bytes = bytes.saturating_add(element.held_bytes());
            if bytes > MOST_BYTES {
                return Err(A::Error::custom("this is more than a report has in one list"));
            }
            list.push(element);
        }
        Ok(BoundedList(list))
    }
}

/// JSON whose texts take at most [`MOST_TEXT`] each: one that is longer is an error, before it is held.
pub(super) struct BoundedTexts<R> {
    inner: R,
    /// Bytes of the text so far; `None` outside of one.
    text: Option<usize>,
    /// The byte before was a backslash in a text, which changes the meaning of the next one.
    escaped: bool,
}

impl<R> BoundedTexts<R> {
    pub(super) const fn new(inner: R) -> Self {
        Self { inner, text: None, escaped: false }
    }

    fn take(&mut self, byte: u8) {
        match (&mut self.text, byte) {
            (None, b'"') => self.text = Some(0),
            (None, _) => {}
            (Some(_), b'"') if !self.escaped => self.text = None,
            (Some(length), _) => {
                *length += 1;
                self.escaped = byte == b'\\' && !self.escaped;
            }
        }
    }
}

impl<R: Read> Read for BoundedTexts<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        for byte in buffer.get(..read).unwrap_or_default() {
            self.take(*byte);
            if self.text.is_some_and(|length| length > MOST_TEXT) {
                return Err(io::Error::other("a text is longer than any of a report"));
            }
        }
        Ok(read)
    }
}
