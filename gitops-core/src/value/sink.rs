//! What values are written into.

use super::Value;

/// A writer of values, one piece at a time: [`json::Writer`] and
/// [`yaml::Writer`].
///
/// Whoever has values of its own kind writes them without turning them into a
/// [`Value`] first. Calls must nest: each `begin` has its `end`, and in a map
/// each value follows its key. Keys are to be pushed in the order that
/// [`order`](Sink::order) asks for. Failures are kept until the writer is
/// finished.
///
/// [`json::Writer`]: super::json::Writer
/// [`yaml::Writer`]: super::yaml::Writer
pub trait Sink {
    /// Writes `null`.
    fn null(&mut self);
    /// Writes `true` or `false`.
    fn bool(&mut self, flag: bool);
    /// Writes an integer.
    fn int(&mut self, number: i64);
    /// Writes an integer that may be above `i64::MAX`.
    fn uint(&mut self, number: u64);
    /// Writes a float.
    fn float(&mut self, number: f64);
    /// Writes text.
    fn string(&mut self, text: &str);
    /// Writes text of which it is not known whether it is UTF-8.
    fn bytes(&mut self, text: &[u8]);
    /// Starts a list.
    fn begin_list(&mut self);
    /// Ends the innermost list.
    fn end_list(&mut self);
    /// Starts a map.
    fn begin_map(&mut self);
    /// Writes a key of the innermost map.
    fn key(&mut self, key: &str);
    /// Ends the innermost map.
    fn end_map(&mut self);
    /// How many bytes there are by now, for whoever writes no more than so many.
    fn written(&self) -> usize;

    /// The order in which `keys`, which are sorted by their bytes, have to be
    /// pushed, as positions in `keys`; `None` if they can stay as they are.
    fn order<'k>(&self, keys: impl Iterator<Item = &'k str> + Clone) -> Option<Vec<usize>> {
        let _ = keys;
        None
    }
}

impl Value {
    /// Writes this value, keys in the order that the sink asks for.
    pub fn write_to(&self, sink: &mut impl Sink) {
        match self {
            Value::Null => sink.null(),
            Value::Bool(flag) => sink.bool(*flag),
            Value::Int(number) => sink.int(*number),
            Value::UInt(number) => sink.uint(*number),
            Value::Float(number) => sink.float(*number),
            Value::String(text) => sink.string(text),
            Value::List(list) => {
                sink.begin_list();
                for value in list {
                    value.write_to(sink);
                }
                sink.end_list();
            }
            Value::Map(map) => {
                sink.begin_map();
                match sink.order(map.keys().map(|key| key.as_str())) {
                    None => {
                        for (key, value) in map {
                            sink.key(key);
                            value.write_to(sink);
                        }
                    }
                    Some(order) => {
                        for index in order {
                            let (key, value) = map.entry_at(index);
                            sink.key(key);
                            value.write_to(sink);
                        }
                    }
                }
                sink.end_map();
            }
        }
    }
}
