//! What functions have made in a render, or in the last one of the same chart.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use gitops_core::value::Sink;

use super::function::Failure;
use super::text::Str;
use super::value::Value;
use super::write::FieldOrder;

/// What a function made. Whoever shares it keeps it remembered.
pub(crate) type Made = Arc<dyn Any + Send + Sync>;

/// The results of functions that are slow, and always the same for the same
/// input. There may be private keys among them.
///
/// A memory of several renders tells file by file what was asked for, and remembers
/// it for as long as somebody shares that. So it holds what the last render needed,
/// whether files were executed in it or not.
#[derive(Default)]
pub(crate) struct Memory {
    known: RefCell<HashMap<(&'static str, Str), Made, RandomState>>,
    /// The bytes of the inputs, about as many as were made of them.
    bytes: Cell<usize>,
    /// Of several renders.
    asked: Option<RefCell<Vec<Made>>>,
}

/// Above so many bytes of inputs all is forgotten.
const MOST: usize = 1 << 24;

impl Memory {
    /// One that tells what was asked for.
    pub(crate) fn of_renders() -> Memory {
        Memory {
            asked: Some(RefCell::default()),
            ..Memory::default()
        }
    }

    /// What `make` makes for an input of a function.
    ///
    /// # Errors
    ///
    /// Those of `make`, which are not remembered.
    pub(super) fn once<T: Any + Send + Sync, E>(
        &self,
        function: &'static str,
        input: Str,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let key = (function, input);
        let known = self.known.borrow().get(&key).cloned();
        // A function makes one type of things.
        if let Some(made) = known.and_then(|made| made.downcast::<T>().ok()) {
            self.ask(&made);
            return Ok(made);
        }
        let made = Arc::new(make()?);
        self.ask(&made);
        let mut known = self.known.borrow_mut();
        let bytes = self.bytes.get() + key.1.as_bytes().len();
        self.bytes.set(bytes);
        if bytes > MOST {
            known.clear();
            self.bytes.set(key.1.as_bytes().len());
        }
        known.insert(key, made.clone());
        Ok(made)
    }

    fn ask<T: Any + Send + Sync>(&self, made: &Arc<T>) {
        if let Some(asked) = &self.asked {
            asked.borrow_mut().push(made.clone());
        }
    }

    /// How often something was asked for since it was taken last.
    pub(super) fn asked(&self) -> usize {
        self.asked.as_ref().map_or(0, |asked| asked.borrow().len())
    }

    /// What was asked for, but for the first so many times.
    pub(super) fn asked_since(&self, times: usize) -> Box<[Made]> {
        let asked = self.asked.as_ref().map(RefCell::borrow);
        asked.map_or_else(Box::default, |asked| asked[times..].into())
    }

    /// What was asked for since the last call.
    pub(crate) fn take_asked(&self) -> Box<[Made]> {
        let mut asked = self.asked.as_ref().map(RefCell::take).unwrap_or_default();
        let place = |made: &Made| Arc::as_ptr(made).cast::<()>();
        asked.sort_unstable_by_key(place);
        asked.dedup_by_key(|made| place(made));
        asked.into()
    }

    /// Where all is that is known.
    #[cfg(test)]
    pub(crate) fn places(&self) -> Vec<usize> {
        let known = self.known.borrow();
        let place = |made: &Made| Arc::as_ptr(made).cast::<()>() as usize;
        let mut places: Vec<usize> = known.values().map(place).collect();
        places.sort_unstable();
        places
    }

    /// Forgets what nobody shares.
    pub(crate) fn forget(&self) {
        let mut known = self.known.borrow_mut();
        known.retain(|_, made| Arc::strong_count(made) > 1);
        known.shrink_to_fit();
        let bytes = known.keys().map(|(_, input)| input.as_bytes().len()).sum();
        self.bytes.set(bytes);
    }
}

/// All that is written of a value: of values for which it is the same, the same
/// is written.
pub(super) fn plain(value: &Value, limit: usize) -> Result<Str, Failure> {
    let mut plain = Plain(Vec::new());
    value.write_to(&mut plain, FieldOrder::Sorted, limit)?;
    Ok(Str::from_bytes(&plain.0))
}

/// A letter for each call, and the bytes that it was given with their number.
struct Plain(Vec<u8>);

impl Plain {
    fn push(&mut self, letter: u8, bytes: &[u8]) {
        self.0.push(letter);
        self.0.extend_from_slice(bytes);
    }

    fn push_text(&mut self, letter: u8, text: &[u8]) {
        self.push(letter, &text.len().to_le_bytes());
        self.0.extend_from_slice(text);
    }
}

impl Sink for Plain {
    fn null(&mut self) {
        self.push(b'n', &[]);
    }

    fn bool(&mut self, flag: bool) {
        self.push(b'b', &[flag.into()]);
    }

    fn int(&mut self, number: i64) {
        self.push(b'i', &number.to_le_bytes());
    }

    fn uint(&mut self, number: u64) {
        self.push(b'u', &number.to_le_bytes());
    }

    fn float(&mut self, number: f64) {
        self.push(b'f', &number.to_bits().to_le_bytes());
    }

    fn string(&mut self, text: &str) {
        self.push_text(b's', text.as_bytes());
    }

    fn bytes(&mut self, text: &[u8]) {
        self.push_text(b'x', text);
    }

    fn written(&self) -> usize {
        self.0.len()
    }

    fn begin_list(&mut self) {
        self.push(b'[', &[]);
    }

    fn end_list(&mut self) {
        self.push(b']', &[]);
    }

    fn begin_map(&mut self) {
        self.push(b'{', &[]);
    }

    fn key(&mut self, key: &str) {
        self.push_text(b'k', key.as_bytes());
    }

    fn end_map(&mut self) {
        self.push(b'}', &[]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_is_not_made_again() {
        let memory = Memory::of_renders();
        let made = RefCell::new(Vec::new());
        let once = |input: &'static str| {
            let make = || {
                made.borrow_mut().push(input);
                Ok::<_, Failure>(input.len())
            };
            memory
                .once("length", input.into(), make)
                .expect("it is made")
        };
        let turns: [&[&str]; 4] = [&["a", "bb", "a"], &["a"], &["bb", "a"], &[]];
        let mut kept: Box<[Made]> = [].into();
        for turn in turns {
            for input in turn {
                assert_eq!(*once(input), input.len());
            }
            let before = std::mem::replace(&mut kept, memory.take_asked());
            drop(before);
            memory.forget();
        }
        // The second was forgotten when the second turn did not ask for it.
        assert_eq!(made.into_inner(), ["a", "bb", "bb"]);
        assert!(memory.known.into_inner().is_empty());
    }

    #[test]
    fn other_values_are_other_bytes() {
        let values = [
            Value::Nil,
            Value::Bool(true),
            Value::Int(1),
            Value::Float(1.0),
            Value::from("1"),
            Value::Str(Str::from_bytes(b"\xff")),
            Value::from(vec![Value::from("a"), Value::from("b")]),
            Value::from(vec![Value::from("a"), Value::from(vec![Value::from("b")])]),
            Value::from(vec![Value::from("ab")]),
        ];
        let bytes: Vec<Str> = values
            .iter()
            .map(|value| plain(value, 1000).expect("it can be written"))
            .collect();
        for (index, one) in bytes.iter().enumerate() {
            assert!(!bytes[..index].contains(one), "{:?}", values[index]);
        }
    }
}
