//! Keeps what Secrets hold out of messages, and in one place.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gitops_core::redaction::{HIDDEN, Redaction};
use gitops_core::{Manifest, Map, ObjectKey, Value};

/// Hides the values of one object, if it is a Secret.
pub(crate) struct Mask(Option<Redaction>);

impl Mask {
    /// The mask for messages about an object. The server may quote from what
    /// it was `sent`, and from what it has.
    pub(crate) fn of<'m>(key: &ObjectKey, sent: impl IntoIterator<Item = &'m Map>) -> Mask {
        if !key.group.is_empty() || key.kind != "Secret" {
            return Mask(None);
        }
        let mut redaction = Redaction::default();
        for object in sent {
            redaction.add(object);
        }
        Mask(Some(redaction))
    }

    /// The message without the values.
    pub(crate) fn hide(&self, message: String) -> String {
        let Some(redaction) = &self.0 else {
            return message;
        };
        let mut message = redaction.hide(&message).into_owned();
        // Values also come quoted or converted; and where Go prints a value of
        // its own, only the end of the line is the end of it.
        for introduction in ["Invalid value: ", "Unsupported value: ", "got "] {
            let mut from = 0;
            while let Some(found) = message[from..].find(introduction) {
                let start = from + found + introduction.len();
                let rest = &message[start..];
                // Hidden already, perhaps with the quote before it.
                if let Some(after) = rest.strip_prefix(HIDDEN)
                    && (after.is_empty() || after.starts_with(['"', ':', ',', '\n', ']']))
                {
                    from = start + HIDDEN.len();
                    if after.starts_with('"') {
                        message.remove(from);
                    }
                    continue;
                }
                let end = match rest.strip_prefix('"') {
                    // To the closing quote that is not escaped.
                    Some(quoted) => {
                        let mut escaped = false;
                        let close = quoted.find(|c: char| {
                            let closes = c == '"' && !escaped;
                            escaped = c == '\\' && !escaped;
                            closes
                        });
                        close.map_or(rest.len(), |close| close + 2)
                    }
                    None if introduction.starts_with("got") => {
                        rest.find('\n').unwrap_or(rest.len())
                    }
                    None => rest.find([',', '\n', ']']).unwrap_or(rest.len()),
                };
                message.replace_range(start..start + end, HIDDEN);
                from = start + HIDDEN.len();
            }
        }
        message
    }
}

/// A tool's message without the scalars that its YAML reader quotes. Helm and
/// Kustomize say them, whatever object they stand in.
pub(crate) fn without_scalars(message: &str) -> String {
    // What comes before the scalar and after it, and what opens it.
    const QUOTED: [(&str, &str, &str); 4] = [
        ("cannot decode !!", "`", "` as a !!"),
        ("unknown anchor ", "'", "' referenced"),
        ("cannot unmarshal !!", "`", "` into "),
        ("invalid document separator: ", "---", "'"),
    ];
    let mut message = message.to_owned();
    for (before, open, after) in QUOTED {
        let mut from = 0;
        while let Some(found) = message[from..].find(before) {
            from += found + before.len();
            let rest = &message[from..];
            if let (Some(start), Some(end)) = (rest.find(open), rest.find(after))
                && start < end
            {
                message.replace_range(from + start + open.len()..from + end, HIDDEN);
            }
        }
    }
    message
}

/// Moves `stringData` of a Secret into `data`, as a server does.
pub(crate) fn fold_string_data(object: &mut Manifest) {
    let key = object.key();
    if !key.group.is_empty() || key.kind != "Secret" || object.at(&["stringData"]).is_none() {
        return;
    }
    let folded = object.edit(|object| {
        let Value::Map(object) = object else { return };
        let Some(Value::Map(plain)) = object.get("stringData").cloned() else {
            return;
        };
        // What is no text is left for the server to refuse.
        if plain.values().any(|value| value.as_str().is_none()) {
            return;
        }
        object.remove("stringData");
        let data = object.entry("data");
        if data.is_null() {
            *data = Value::Map(Map::new());
        }
        if let Value::Map(data) = data {
            for (name, text) in &plain {
                let text = text.as_str().unwrap_or_default();
                data.insert(name.clone(), STANDARD.encode(text));
            }
        }
    });
    folded.expect("the names were not touched");
}

#[cfg(test)]
mod tests {
    use gitops_core::{Gvk, Origin};

    use super::*;

    fn secret(data: &[(&str, &str)]) -> Manifest {
        let mut object = Value::Map(Map::from_iter([
            ("apiVersion", Value::from("v1")),
            ("kind", Value::from("Secret")),
        ]));
        let map = object.as_map_mut().expect("made above");
        map.insert("metadata", Map::from_iter([("name", "s")]));
        map.insert("stringData", data.iter().copied().collect::<Map>());
        Manifest::new(object, Origin::default()).expect("a whole object")
    }

    #[test]
    fn values_do_not_reach_messages() {
        let secret = secret(&[("password", "hunter2"), ("pin", "12")]);
        assert_eq!(secret.gvk(), &Gvk::parse("v1", "Secret"));
        let mask = Mask::of(secret.key(), Some(secret.object()));
        for (message, hidden) in [
            (
                r#"Secret "s" is invalid: data[password]: Invalid value: "hunter2": no"#,
                r#"Secret "s" is invalid: data[password]: Invalid value: (hidden): no"#,
            ),
            (
                r#"x: Invalid value: "a\"12": no, y: Invalid value: 12, z"#,
                r#"x: Invalid value: (hidden): no, y: Invalid value: (hidden), z"#,
            ),
            (
                ".stringData.pin: expected string, got &value.valueUnstructured{Value:12}",
                ".stringData.pin: expected string, got (hidden)",
            ),
            ("webhook says hunter2", "webhook says (hidden)"),
        ] {
            assert_eq!(mask.hide(message.to_owned()), hidden);
        }
    }
}
