//! The little language of `--set`, as Helm's `pkg/strvals` reads it.
//!
//! One reader serves all five flags; they differ in what stands to the right
//! of `=`. A pair is laid into the values at once, so that a later pair of the
//! same flag can extend what an earlier one began.

use gitops_core::{List, Map, Str, Value, json};

use crate::gotmpl::{Value as TemplateValue, printf};

/// What a flag makes of the text after `=`.
pub enum Flavour<'a> {
    /// `--set`: lists in braces; `true`, `false`, `null` and integers are
    /// recognised.
    Typed,
    /// `--set-string`: lists in braces; everything else is text.
    Text,
    /// `--set-json`: a JSON value.
    Json,
    /// `--set-file`: the contents of the file of that name.
    File(&'a dyn Fn(&str) -> Result<Str, String>),
    /// `--set-literal`: the rest of the argument, as it is.
    Literal,
}

/// Reads `text` and lays its values over `into`.
///
/// # Errors
///
/// Helm's own text, without the `failed parsing …` before it.
///
/// ```
/// use gitops_core::{Map, Value, json};
/// use gitops_render::helm::strvals::{self, Flavour};
/// let mut values = Map::new();
/// strvals::parse_into("a.b=1,c={x,2},d[1]=true", &Flavour::Typed, &mut values)?;
/// let expected = r#"{"a":{"b":1},"c":["x",2],"d":[null,true]}"#;
/// assert_eq!(json::to_string(&Value::Map(values)), expected);
/// # Ok::<(), String>(())
/// ```
pub fn parse_into(text: &str, flavour: &Flavour<'_>, into: &mut Map) -> Result<(), String> {
    let mut reader = Reader {
        rest: text,
        flavour,
    };
    loop {
        match reader.key(into, 0) {
            Ok(()) => {}
            Err(Stop::End) => return Ok(()),
            Err(Stop::Error(error)) => return Err(error),
        }
    }
}

/// The text of [`parse_into`]'s error for an index without a bracket at its
/// end.
pub(super) const UNENDED_INDEX: &str = "error parsing index: EOF";

const MAX_INDEX: i64 = 65536;
const MAX_NESTING: usize = 30;

/// Why a step went no further.
enum Stop {
    /// The text is at its end.
    End,
    Error(String),
}

impl From<String> for Stop {
    fn from(error: String) -> Self {
        Stop::Error(error)
    }
}

struct Reader<'a> {
    rest: &'a str,
    flavour: &'a Flavour<'a>,
}

impl Reader<'_> {
    fn literal(&self) -> bool {
        matches!(self.flavour, Flavour::Literal)
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next();
        self.rest = chars.as_str();
        next
    }

    /// The text up to one of `stops`, and which it was; `None` at the end.
    fn until(&mut self, stops: &[char]) -> (String, Option<char>) {
        let mut text = String::new();
        while let Some(next) = self.next() {
            if stops.contains(&next) {
                return (text, Some(next));
            }
            if next == '\\' && !self.literal() {
                match self.next() {
                    Some(escaped) => text.push(escaped),
                    None => return (text, None),
                }
            } else {
                text.push(next);
            }
        }
        (text, None)
    }

    fn key(&mut self, data: &mut Map, depth: usize) -> Result<(), Stop> {
        let stops: &[char] = if self.literal() {
            &['=', '[', '.']
        } else {
            &['=', '[', ',', '.']
        };
        let (key, stop) = self.until(stops);
        match stop {
            None if key.is_empty() => Err(Stop::End),
            None => Err(format!("key {key:?} has no value").into()),
            Some(',') => {
                set(data, &key, Value::from(""));
                Err(format!("key {key:?} has no value (cannot end with ,)").into())
            }
            Some('[') => {
                let index = self.index().map_err(index_error)?;
                let mut list = match data.get(&key) {
                    None => List::new(),
                    Some(Value::List(list)) => list.clone(),
                    Some(other) => return Err(conversion(other, "[]interface {}")),
                };
                let result = self.item(&mut list, index, depth);
                set(data, &key, Value::List(list));
                result
            }
            Some('.') => {
                if depth + 1 > MAX_NESTING {
                    return Err(format!(
                        "value name nested level is greater than maximum supported nested level \
                         of {MAX_NESTING}"
                    )
                    .into());
                }
                let mut inner = match data.get(&key) {
                    None => Map::new(),
                    Some(Value::Map(map)) => map.clone(),
                    Some(other) => return Err(conversion(other, "map[string]interface {}")),
                };
                let result = self.key(&mut inner, depth + 1);
                if result.is_ok() && inner.is_empty() {
                    return Err(format!("key map {key:?} has no value").into());
                }
                if !inner.is_empty() {
                    set(data, &key, Value::Map(inner));
                }
                result
            }
            Some(_) => {
                let (value, result) = self.value()?;
                set(data, &key, value);
                result
            }
        }
    }

    fn index(&mut self) -> Result<i64, Stop> {
        let (text, stop) = self.until(&[']']);
        if stop.is_none() {
            return Err(Stop::End);
        }
        atoi(&text).map_err(Stop::Error)
    }

    fn item(&mut self, list: &mut List, index: i64, depth: usize) -> Result<(), Stop> {
        if index < 0 {
            return Err(format!("negative {index} index not allowed").into());
        }
        let (text, stop) = self.until(&['[', '.', '=']);
        if !text.is_empty() {
            // Go prints the letters one by one.
            let letters: Vec<String> = text.chars().map(quoted_letter).collect();
            let letters = letters.join(" ");
            return Err(format!("unexpected data at end of array index: [{letters}]").into());
        }
        let existing = usize::try_from(index)
            .ok()
            .and_then(|index| list.get(index))
            .cloned();
        match stop {
            None => Err(Stop::End),
            Some('[') => {
                let next = self.index().map_err(index_error)?;
                let mut inner = match existing {
                    None | Some(Value::Null) => List::new(),
                    Some(Value::List(inner)) => inner,
                    Some(other) => return Err(conversion(&other, "[]interface {}")),
                };
                self.item(&mut inner, next, depth)?;
                set_index(list, index, Value::List(inner))
            }
            Some('.') => {
                let mut inner = match existing {
                    Some(Value::Map(inner)) => inner,
                    _ => Map::new(),
                };
                let result = self.key(&mut inner, depth);
                if let Err(Stop::Error(_)) = result {
                    return result;
                }
                // Helm loses the item here if the text ends within it, unless
                // it was there before; the list keeps its length then.
                if result.is_err() {
                    if usize::try_from(index).is_ok_and(|index| index < list.len()) {
                        set_index(list, index, Value::Map(inner))?;
                    }
                    return result;
                }
                set_index(list, index, Value::Map(inner))
            }
            Some(_) => {
                let (value, result) = self.value()?;
                set_index(list, index, value)?;
                // The end of the text ends the pair, not the list.
                match result {
                    Err(Stop::Error(error)) => Err(Stop::Error(error)),
                    _ => Ok(()),
                }
            }
        }
    }

    /// The value after `=`, and how reading it ended.
    fn value(&mut self) -> Result<(Value, Result<(), Stop>), Stop> {
        match self.flavour {
            Flavour::Literal => {
                let rest = std::mem::take(&mut self.rest);
                Ok((Value::from(rest), Ok(())))
            }
            Flavour::Json => {
                if self.skip_separator() {
                    return Ok((Value::Null, Ok(())));
                }
                let options = json::Options {
                    numbers: json::Numbers::Float64,
                    ..json::Options::default()
                };
                let (value, used) = json::parse_prefix(self.rest.as_bytes(), &options)
                    .map_err(|error| error.to_string())?;
                self.rest = &self.rest[used..];
                self.skip_separator();
                Ok((value, Ok(())))
            }
            Flavour::Typed | Flavour::Text | Flavour::File(_) => {
                if self.rest.is_empty() {
                    return Ok((Value::from(""), Err(Stop::End)));
                }
                match self.rest.strip_prefix('{') {
                    Some(rest) => {
                        self.rest = rest;
                        Ok((self.list()?, Ok(())))
                    }
                    None => {
                        let (text, _) = self.until(&[',']);
                        Ok((self.convert(text)?, Ok(())))
                    }
                }
            }
        }
    }

    fn list(&mut self) -> Result<Value, Stop> {
        let mut list = List::new();
        loop {
            let (text, stop) = self.until(&[',', '}']);
            match stop {
                None => return Err(Stop::Error("list must terminate with '}'".into())),
                Some('}') => {
                    self.rest = self.rest.strip_prefix(',').unwrap_or(self.rest);
                    list.push(self.convert(text)?);
                    return Ok(Value::List(list));
                }
                Some(_) => list.push(self.convert(text)?),
            }
        }
    }

    fn convert(&self, text: String) -> Result<Value, Stop> {
        match self.flavour {
            Flavour::File(read) => Ok(Value::String(read(&text)?)),
            Flavour::Typed => Ok(typed(text)),
            _ => Ok(text.into()),
        }
    }

    /// Skips white space and one comma; whether that was all there is to this
    /// value.
    fn skip_separator(&mut self) -> bool {
        loop {
            let before = self.rest;
            match self.next() {
                None | Some(',') => return true,
                Some(space) if space.is_whitespace() => {}
                Some(_) => {
                    self.rest = before;
                    return false;
                }
            }
        }
    }
}

fn typed(text: String) -> Value {
    if text.eq_ignore_ascii_case("true") {
        return Value::Bool(true);
    }
    if text.eq_ignore_ascii_case("false") {
        return Value::Bool(false);
    }
    if text.eq_ignore_ascii_case("null") {
        return Value::Null;
    }
    if text == "0" {
        return Value::Int(0);
    }
    match text.parse() {
        Ok(number) if !text.starts_with('0') => Value::Int(number),
        _ => text.into(),
    }
}

/// An empty key is dropped in silence, as Helm drops it.
fn set(data: &mut Map, key: &str, value: Value) {
    if !key.is_empty() {
        data.insert(key, value);
    }
}

fn set_index(list: &mut List, index: i64, value: Value) -> Result<(), Stop> {
    if index > MAX_INDEX {
        return Err(format!(
            "index of {index} is greater than maximum supported index of {MAX_INDEX}"
        )
        .into());
    }
    let index = usize::try_from(index).expect("negative indexes were refused");
    while list.len() <= index {
        list.push(Value::Null);
    }
    list.make_mut()[index] = value;
    Ok(())
}

fn index_error(stop: Stop) -> Stop {
    Stop::Error(match stop {
        Stop::End => UNENDED_INDEX.into(),
        Stop::Error(error) => format!("error parsing index: {error}"),
    })
}

/// Go's text where a value has another type than the path needs.
fn conversion(value: &Value, wanted: &str) -> Stop {
    let found = match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::UInt(_) => "int64",
        Value::Float(_) => "float64",
        Value::String(_) => "string",
        Value::List(_) => "[]interface {}",
        Value::Map(_) => "map[string]interface {}",
    };
    Stop::Error(format!(
        "unable to parse key: interface conversion: interface {{}} is {found}, not {wanted}"
    ))
}

fn atoi(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("strconv.Atoi: parsing {text:?}: invalid syntax"));
    }
    text.parse()
        .map_err(|_| format!("strconv.Atoi: parsing {text:?}: value out of range"))
}

/// Go's `%q` of a letter.
fn quoted_letter(letter: char) -> String {
    let mut out = Vec::new();
    let rune = TemplateValue::Int32(u32::from(letter) as i32);
    // One letter is never too long.
    let _complete = printf::sprintf(&mut out, b"%q", &[rune], usize::MAX);
    String::from_utf8_lossy(&out).into_owned()
}
