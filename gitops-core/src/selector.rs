//! Label selectors, as text and as objects.
//!
//! Follows `k8s.io/apimachinery/pkg/labels` 0.36 and its `LabelSelector`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::{Map, Str, Value};

/// What an object's labels must be.
///
/// ```
/// use gitops_core::{Map, selector::Selector};
/// let selector: Selector = "tier in (front, back), app=shop, !legacy".parse()?;
/// let labels = Map::from_iter([("app", "shop"), ("tier", "back")]);
/// assert!(selector.matches(&labels));
/// assert_eq!(selector.to_string(), "app=shop,!legacy,tier in (back,front)");
/// # Ok::<(), gitops_core::selector::SelectorError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// Sorted by key; all must hold.
    requirements: Vec<Requirement>,
    /// Set if nothing is selected, whatever the requirements.
    nothing: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: Str,
    operator: Operator,
    values: BTreeSet<Str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    In,
    NotIn,
    Equals,
    DoubleEquals,
    NotEquals,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

/// Why a selector cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(String);

impl Selector {
    /// The selector of all objects; also what an empty text or object says.
    pub fn everything() -> Self {
        Selector::default()
    }

    /// The selector of no object: what Kubernetes makes of a null selector.
    pub fn nothing() -> Self {
        Selector {
            requirements: Vec::new(),
            nothing: true,
        }
    }

    /// Whether every object is selected.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty() && !self.nothing
    }

    /// Reads an object with `matchLabels` and `matchExpressions`; null
    /// selects nothing, an empty object everything.
    ///
    /// # Errors
    ///
    /// [`SelectorError`] names the field that is wrong.
    pub fn from_value(value: &Value) -> Result<Self, SelectorError> {
        let map = match value {
            Value::Null => return Ok(Selector::nothing()),
            Value::Map(map) => map,
            other => return Err(wrong_type("the selector", "an object", other)),
        };
        let mut requirements = Vec::new();
        match map.get("matchLabels") {
            None | Some(Value::Null) => {}
            Some(Value::Map(labels)) => {
                for (key, value) in labels {
                    let Value::String(value) = value else {
                        return Err(wrong_type(&format!("matchLabels.{key}"), "a string", value));
                    };
                    let values = BTreeSet::from([value.clone()]);
                    requirements.push(Requirement::new(key, Operator::Equals, values)?);
                }
            }
            Some(other) => return Err(wrong_type("matchLabels", "an object", other)),
        }
        match map.get("matchExpressions") {
            None | Some(Value::Null) => {}
            Some(Value::List(expressions)) => {
                for (index, expression) in expressions.iter().enumerate() {
                    let requirement = Requirement::from_value(expression).map_err(|error| {
                        SelectorError(format!("matchExpressions[{index}]: {}", error.0))
                    })?;
                    requirements.push(requirement);
                }
            }
            Some(other) => return Err(wrong_type("matchExpressions", "a list", other)),
        }
        Ok(Selector::of(requirements))
    }

    /// Whether an object with these labels is selected. Labels that are not
    /// text count as absent.
    pub fn matches(&self, labels: &Map) -> bool {
        self.matches_with(|key| labels.get(key).and_then(Value::as_str))
    }

    /// Whether an object is selected whose labels `label` looks up.
    pub fn matches_with<'l>(&self, label: impl Fn(&str) -> Option<&'l str>) -> bool {
        !self.nothing
            && self
                .requirements
                .iter()
                .all(|requirement| requirement.holds_for(label(&requirement.key)))
    }

    fn of(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Selector {
            requirements,
            nothing: false,
        }
    }
}

fn wrong_type(field: &str, expected: &str, found: &Value) -> SelectorError {
    let found = found.kind_name();
    SelectorError(format!("{field} must be {expected}, found {found}"))
}

impl Requirement {
    fn new(key: &str, operator: Operator, values: BTreeSet<Str>) -> Result<Self, SelectorError> {
        check_key(key)?;
        let expected = match operator {
            Operator::In | Operator::NotIn if values.is_empty() => Some("at least one value"),
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => Some("no values"),
            _ => None,
        };
        if let Some(expected) = expected {
            let operator = operator.name();
            return Err(SelectorError(format!("{key}: {operator} takes {expected}")));
        }
        for value in &values {
            if matches!(operator, Operator::GreaterThan | Operator::LessThan)
                && value.parse::<i64>().is_err()
            {
                return Err(SelectorError(format!(
                    "{key}: {value:?} is compared with and so must be an integer"
                )));
            }
            if !is_label_value(value) {
                return Err(SelectorError(format!(
                    "{key}: {value:?} is no label value: up to 63 letters, digits, '-', '_' and \
                     '.', a letter or digit at both ends"
                )));
            }
        }
        Ok(Requirement {
            key: key.into(),
            operator,
            values,
        })
    }

    fn from_value(value: &Value) -> Result<Self, SelectorError> {
        let Value::Map(map) = value else {
            return Err(wrong_type("it", "an object", value));
        };
        let text = |name: &str| match map.get(name) {
            Some(Value::String(text)) => Ok(text.clone()),
            None | Some(Value::Null) => Err(SelectorError(format!("{name} is missing"))),
            Some(other) => Err(wrong_type(name, "a string", other)),
        };
        let name = text("operator")?;
        let operator = match name.as_str() {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            _ => {
                return Err(SelectorError(format!(
                    "{name:?} is not a valid label selector operator; use In, NotIn, Exists or \
                     DoesNotExist"
                )));
            }
        };
        let values = match map.get("values") {
            None | Some(Value::Null) => BTreeSet::new(),
            Some(Value::List(values)) => values
                .iter()
                .map(|value| match value {
                    Value::String(text) => Ok(text.clone()),
                    other => Err(wrong_type("values", "strings", other)),
                })
                .collect::<Result<_, _>>()?,
            Some(other) => return Err(wrong_type("values", "a list", other)),
        };
        Requirement::new(&text("key")?, operator, values)
    }

    fn holds_for(&self, label: Option<&str>) -> bool {
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => {
                label.is_some_and(|label| self.values.contains(label))
            }
            Operator::NotIn | Operator::NotEquals => {
                label.is_none_or(|label| !self.values.contains(label))
            }
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
            Operator::GreaterThan | Operator::LessThan => {
                let limit = self.values.first().and_then(|value| value.parse().ok());
                let number = label.and_then(|label| label.parse::<i64>().ok());
                match (number, limit) {
                    (Some(number), Some(limit)) if self.operator == Operator::GreaterThan => {
                        number > limit
                    }
                    (Some(number), Some(limit)) => number < limit,
                    _ => false,
                }
            }
        }
    }
}

impl Operator {
    fn name(self) -> &'static str {
        match self {
            Operator::In => "in",
            Operator::NotIn => "notin",
            Operator::Equals => "=",
            Operator::DoubleEquals => "==",
            Operator::NotEquals => "!=",
            Operator::Exists => "exists",
            Operator::DoesNotExist => "!",
            Operator::GreaterThan => ">",
            Operator::LessThan => "<",
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            let Requirement {
                key,
                operator,
                values,
            } = requirement;
            match operator {
                Operator::Exists => f.write_str(key)?,
                Operator::DoesNotExist => write!(f, "!{key}")?,
                Operator::In | Operator::NotIn => {
                    write!(f, "{key} {} (", operator.name())?;
                    for (index, value) in values.iter().enumerate() {
                        let comma = if index > 0 { "," } else { "" };
                        write!(f, "{comma}{value}")?;
                    }
                    f.write_str(")")?;
                }
                _ => {
                    write!(f, "{key}{}", operator.name())?;
                    values.iter().try_for_each(|value| f.write_str(value))?;
                }
            }
        }
        Ok(())
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    /// Reads the notation of `kubectl -l`: `a=b,c!=d,e in (f,g),h,!i,j>3`.
    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let mut parser = Parser {
            tokens: tokens(text)?,
            next: 0,
        };
        let mut requirements = Vec::new();
        loop {
            match parser.peek() {
                Token::End if requirements.is_empty() => break,
                Token::Word(_) | Token::Not => {
                    requirements.push(parser.requirement()?);
                    match parser.take() {
                        Token::End => break,
                        Token::Comma => {
                            if !matches!(parser.peek(), Token::Word(_) | Token::Not) {
                                return Err(parser.expected("an identifier after ','"));
                            }
                        }
                        found => return Err(found.instead_of("',' or 'end of string'")),
                    }
                }
                _ => return Err(parser.expected("!, identifier, or 'end of string'")),
            }
        }
        Ok(Selector::of(requirements))
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token<'a> {
    Word(&'a str),
    Not,
    Equals,
    DoubleEquals,
    NotEquals,
    Greater,
    Less,
    Open,
    Close,
    Comma,
    End,
}

impl Token<'_> {
    fn instead_of(self, expected: &str) -> SelectorError {
        let found = match self {
            Token::Word(word) => word,
            Token::Not => "!",
            Token::Equals => "=",
            Token::DoubleEquals => "==",
            Token::NotEquals => "!=",
            Token::Greater => ">",
            Token::Less => "<",
            Token::Open => "(",
            Token::Close => ")",
            Token::Comma => ",",
            Token::End => "",
        };
        SelectorError(format!("found '{found}', expected: {expected}"))
    }
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, SelectorError> {
    const SPECIAL: &[char] = &['=', '!', '(', ')', ',', '>', '<'];
    let is_blank = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches(is_blank);
    while !rest.is_empty() {
        let two = rest.get(..2);
        let (token, length) = match rest.as_bytes()[0] {
            b'=' if two == Some("==") => (Token::DoubleEquals, 2),
            b'!' if two == Some("!=") => (Token::NotEquals, 2),
            b'=' => (Token::Equals, 1),
            b'!' => (Token::Not, 1),
            b'>' => (Token::Greater, 1),
            b'<' => (Token::Less, 1),
            b'(' => (Token::Open, 1),
            b')' => (Token::Close, 1),
            b',' => (Token::Comma, 1),
            0 => return Err(SelectorError("a selector has no NUL".to_owned())),
            _ => {
                let length = rest
                    .find(|c| SPECIAL.contains(&c) || is_blank(c))
                    .unwrap_or(rest.len());
                (Token::Word(&rest[..length]), length)
            }
        };
        tokens.push(token);
        rest = rest[length..].trim_start_matches(is_blank);
    }
    Ok(tokens)
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    next: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        self.tokens.get(self.next).copied().unwrap_or(Token::End)
    }

    fn take(&mut self) -> Token<'a> {
        let token = self.peek();
        self.next += 1;
        token
    }

    fn expected(&self, expected: &str) -> SelectorError {
        self.peek().instead_of(expected)
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let absent = self.peek() == Token::Not;
        if absent {
            self.take();
        }
        let key = match self.take() {
            Token::Word(key) => key,
            found => return Err(found.instead_of("identifier")),
        };
        check_key(key)?;
        if absent {
            return Requirement::new(key, Operator::DoesNotExist, BTreeSet::new());
        }
        if matches!(self.peek(), Token::End | Token::Comma) {
            return Requirement::new(key, Operator::Exists, BTreeSet::new());
        }
        let operator = match self.take() {
            Token::Word("in") => Operator::In,
            Token::Word("notin") => Operator::NotIn,
            Token::Equals => Operator::Equals,
            Token::DoubleEquals => Operator::DoubleEquals,
            Token::NotEquals => Operator::NotEquals,
            Token::Greater => Operator::GreaterThan,
            Token::Less => Operator::LessThan,
            found => return Err(found.instead_of("in, notin, =, ==, !=, gt, lt")),
        };
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => BTreeSet::from([match self.peek() {
                // `a=` means the empty value.
                Token::End | Token::Comma => Str::new(),
                Token::Word(value) => {
                    self.take();
                    value.into()
                }
                found => return Err(found.instead_of("identifier")),
            }]),
        };
        Requirement::new(key, operator, values)
    }

    /// Values in parentheses; where one is missing the empty one is meant.
    fn values(&mut self) -> Result<BTreeSet<Str>, SelectorError> {
        match self.take() {
            Token::Open => {}
            found => return Err(found.instead_of("'('")),
        }
        let mut values = BTreeSet::new();
        loop {
            match self.take() {
                Token::Word(value) => {
                    values.insert(value.into());
                    match self.take() {
                        Token::Close => return Ok(values),
                        // A comma before the end stands before an empty value.
                        Token::Comma if self.peek() == Token::Close => {
                            values.insert(Str::new());
                        }
                        Token::Comma if self.peek() == Token::Comma => {
                            values.insert(Str::new());
                        }
                        Token::Comma => {}
                        found => return Err(found.instead_of("',' or ')'")),
                    }
                }
                Token::Comma => {
                    values.insert(Str::new());
                }
                Token::Close => {
                    values.insert(Str::new());
                    return Ok(values);
                }
                found => return Err(found.instead_of("',', ')' or identifier")),
            }
        }
    }
}

/// A label's key: a name, perhaps after a DNS subdomain and a slash.
fn check_key(key: &str) -> Result<(), SelectorError> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let valid = !name.is_empty()
        && is_label_value(name)
        && prefix.is_none_or(|prefix| {
            prefix.len() <= 253
                && prefix.split('.').all(|label| {
                    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                    !label.is_empty()
                        && label.chars().all(inner)
                        && !label.starts_with('-')
                        && !label.ends_with('-')
                })
        });
    if valid {
        return Ok(());
    }
    Err(SelectorError(format!(
        "{key:?} is no label key: a name of up to 63 letters, digits, '-', '_' and '.', a letter \
         or digit at both ends, with an optional DNS subdomain and '/' before it"
    )))
}

fn is_label_value(value: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_alphanumeric();
    value.len() <= 63
        && value
            .chars()
            .all(|c| alphanumeric(c) || matches!(c, '-' | '_' | '.'))
        && (value.is_empty() || (value.starts_with(alphanumeric) && value.ends_with(alphanumeric)))
}
