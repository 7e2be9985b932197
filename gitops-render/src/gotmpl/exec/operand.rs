//! A value in the middle of an expression, and values where they are.

use crate::gotmpl::ast::{Expr, Name, Nodes, Run, Shown};
use crate::gotmpl::value::Value;

/// A value, and whether it was read from a place of type `interface {}`.
///
/// `Nil` is Go's nil interface if it was, and reflection's invalid value if it
/// was not.
#[derive(Clone, Default)]
pub(in crate::gotmpl) struct Operand {
    pub(in crate::gotmpl) value: Value,
    pub(in crate::gotmpl) boxed: bool,
}

impl Operand {
    pub(in crate::gotmpl) fn plain(value: Value) -> Self {
        Operand {
            value,
            boxed: false,
        }
    }

    pub(in crate::gotmpl) fn boxed(value: Value) -> Self {
        Operand { value, boxed: true }
    }

    pub(super) fn is_invalid(&self) -> bool {
        !self.boxed && matches!(self.value, Value::Nil)
    }

    pub(super) fn is_nil_interface(&self) -> bool {
        self.boxed && matches!(self.value, Value::Nil)
    }

    /// The static type, as reflection knows it.
    pub(super) fn type_name(&self) -> std::borrow::Cow<'_, str> {
        match self.boxed {
            true => "interface {}".into(),
            false => self.value.type_name(),
        }
    }
}

/// Where an expression is evaluated: the nodes and the text of its file, and
/// the dot.
#[derive(Clone, Copy)]
pub(super) struct Here<'e> {
    pub(super) nodes: &'e Nodes,
    pub(super) text: &'e [u8],
    pub(super) dot: &'e Operand,
}

impl<'e> Here<'e> {
    /// A node as Go prints it.
    pub(super) fn show<T>(self, node: T) -> Shown<'e, T> {
        self.nodes.show(node, self.text)
    }
}

/// Shows a value where it is, without copying it. `None` if getting there takes
/// more than following names through maps, or a name is missing: that is for
/// [`Context::pipeline`] to sort out.
pub(super) fn peek<R>(
    here: Here<'_>,
    slots: &[Option<Operand>],
    base: usize,
    place: Expr,
    show: impl FnOnce(&Value) -> R,
) -> Option<R> {
    match place {
        Expr::Dot(_) => Some(show(&here.dot.value)),
        Expr::Field(_, names) => peek_inside(here.text, &here.dot.value, &here.nodes[names], show),
        Expr::Variable(_, variable) => {
            let variable = &here.nodes[variable];
            let held = slots.get(base + variable.slot? as usize)?.as_ref()?;
            peek_inside(here.text, &held.value, &here.nodes[variable.fields], show)
        }
        _ => None,
    }
}

fn peek_inside<R>(
    text: &[u8],
    value: &Value,
    names: &[Name],
    show: impl FnOnce(&Value) -> R,
) -> Option<R> {
    let Some((name, rest)) = names.split_first() else {
        return Some(show(value));
    };
    match value {
        Value::Map(map) => {
            let name = name.bytes(text);
            if map.kind().may_have_method(name) {
                return None;
            }
            map.peek(name, |value| peek_inside(text, value, rest, show))?
        }
        _ => None,
    }
}

/// Follows names through maps, the common case; `None` if anything else is on
/// the way or a name is missing.
pub(super) fn through_maps(
    here: Here<'_>,
    receiver: &Operand,
    names: Run<Name>,
) -> Option<Operand> {
    let step = |value: &Value, name: &Name| match value {
        Value::Map(map) => {
            let name = name.bytes(here.text);
            if map.kind().may_have_method(name) {
                return None;
            }
            let value = map.get_bytes(name)?;
            let boxed = map.kind().is_boxed();
            Some(Operand { value, boxed })
        }
        _ => None,
    };
    let (name, rest) = here.nodes[names].split_first()?;
    let mut found = step(&receiver.value, name)?;
    for name in rest {
        found = step(&found.value, name)?;
    }
    Some(found)
}
