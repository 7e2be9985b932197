//! What a call is given, and whether its signature takes it.

use super::operand::{Here, Operand, peek};
use super::{Context, Values};
use crate::gotmpl::ast::Expr;
use crate::gotmpl::error::Error;
use crate::gotmpl::function::{Signature, Type};
use crate::gotmpl::literal::Number;
use crate::gotmpl::map::MapKind;
use crate::gotmpl::stack::deeper;
use crate::gotmpl::text::Str;
use crate::gotmpl::value::Value;

/// What an argument is evaluated for.
#[derive(Clone, Copy)]
pub(super) enum Want {
    Type(Type),
    /// `reflect.Value`, the parameters of most builtins.
    Reflect,
    /// The operand before `.field`, which may be anything.
    Anything,
}

impl Want {
    pub(super) fn name(self) -> &'static str {
        match self {
            Want::Type(kind) => kind.name(),
            Want::Reflect => "reflect.Value",
            Want::Anything => "<nil>",
        }
    }
}

impl Context<'_> {
    pub(super) fn check_count(
        &self,
        name: &str,
        fixed: usize,
        variadic: bool,
        args: usize,
        given: usize,
    ) -> Result<(), Error> {
        if variadic && given < fixed {
            return Err(self.error(format!(
                "wrong number of args for {name}: want at least {fixed} got {args}"
            )));
        }
        if !variadic && given != fixed {
            return Err(self.error(format!(
                "wrong number of args for {name}: want {fixed} got {given}"
            )));
        }
        Ok(())
    }

    /// Evaluates and checks the arguments of a call.
    pub(super) fn arguments(
        &mut self,
        here: Here<'_>,
        name: &str,
        signature: &Signature,
        args: &[Expr],
        last: Option<Operand>,
        values: &mut Values,
    ) -> Result<(), Error> {
        let params = signature.params;
        let fixed = params.len() - usize::from(signature.variadic);
        let given = args.len() + usize::from(last.is_some());
        self.check_count(name, fixed, signature.variadic, args.len(), given)?;
        // The last parameter stands for all further arguments.
        let want = |index: usize| params[index.min(params.len() - 1)];
        for (index, &arg) in args.iter().enumerate() {
            let kind = want(index);
            // A field that can be passed as it is, the common case.
            let value = match arg {
                Expr::Field(..) | Expr::Variable(..)
                    if kind != Type::Map && self.trace.is_none() =>
                {
                    peek(here, &self.slots, self.base, arg, |value| {
                        kind.accepts(value).then(|| value.clone())
                    })
                    .flatten()
                }
                _ => None,
            };
            let value = match value {
                Some(value) => {
                    self.at(arg.mark());
                    value
                }
                None => self.argument(here, Want::Type(kind), arg)?.value,
            };
            values.push(value);
        }
        if let Some(last) = last {
            values.push(self.validate(last, Want::Type(want(args.len())))?.value);
        }
        Ok(())
    }

    pub(super) fn argument(
        &mut self,
        here: Here<'_>,
        want: Want,
        expr: Expr,
    ) -> Result<Operand, Error> {
        self.at(expr.mark());
        let value = match expr {
            Expr::Dot(_) => here.dot.clone(),
            Expr::Nil(_) => {
                return match want {
                    Want::Type(kind) => match kind.nil() {
                        Some(value) => Ok(Operand {
                            value,
                            boxed: kind == Type::Any,
                        }),
                        None => Err(self.error(format!("cannot assign nil to {kind}"))),
                    },
                    Want::Reflect => Ok(Operand::default()),
                    Want::Anything => Err(self.error(format!(
                        "indirection through explicit nil in {}",
                        here.show(expr)
                    ))),
                };
            }
            Expr::Field(mark, names) => self.fields(here, here.dot, mark, names, &[], None)?,
            Expr::Variable(mark, variable) => {
                self.variable(here, expr, mark, &here.nodes[variable], &[], None)?
            }
            Expr::Pipe(_, pipe) => deeper(|| self.pipeline(here, &here.nodes[pipe]))?,
            Expr::Function(mark, function) => {
                self.function(here, mark, function, mark, &[], None)?
            }
            Expr::Builtin(mark, builtin) => self.builtin(here, mark, builtin, mark, &[], None)?,
            Expr::Chain(mark, chain) => self.chain(here, mark, &here.nodes[chain], &[], None)?,
            Expr::Bool(..)
            | Expr::Integer(..)
            | Expr::Number(..)
            | Expr::Text(..)
            | Expr::Literal(..) => {
                return self.constant(here, want, expr);
            }
        };
        self.validate(value, want)
    }

    /// A literal as an argument, which takes the type of the parameter.
    pub(super) fn constant(
        &self,
        here: Here<'_>,
        want: Want,
        expr: Expr,
    ) -> Result<Operand, Error> {
        let number = match expr {
            Expr::Integer(_, number) => Some(Number::from(number)),
            Expr::Number(_, constant) => Some(here.nodes[constant].number),
            _ => None,
        };
        let text = || match expr {
            Expr::Text(mark, end) => {
                let quoted = &here.text[mark.pos() as usize..end as usize];
                Some(Str::from_bytes(&quoted[1..quoted.len() - 1]))
            }
            Expr::Literal(_, literal) => Some(here.nodes[literal].text.clone()),
            _ => None,
        };
        // What it is by itself, where any type will do.
        let own = || match expr {
            Expr::Bool(_, flag) => Ok(Some(Value::Bool(flag))),
            Expr::Integer(_, number) => Ok(Some(Value::Int(number.into()))),
            Expr::Number(_, constant) => self.ideal(&here.nodes[constant]).map(Some),
            _ => Ok(text().map(Value::Str)),
        };
        let kind = match want {
            Want::Type(kind) => kind,
            Want::Reflect | Want::Anything => Type::Any,
        };
        let value = match (kind, expr) {
            (Type::Any, _) => own()?,
            (Type::Bool, Expr::Bool(_, flag)) => Some(Value::Bool(flag)),
            (Type::Str, _) => text().map(Value::Str),
            (Type::Int, _) => number.and_then(|number| number.int).map(Value::Int),
            (Type::Int64, _) => number.and_then(|number| number.int).map(Value::Int64),
            (Type::Uint64, _) => number.and_then(|number| number.uint).map(Value::Uint64),
            (Type::Uint32, _) => number
                .and_then(|number| number.uint)
                .map(|number| Value::Uint32(number as u32)),
            (Type::Float, _) => number.and_then(|number| number.float).map(Value::Float),
            _ => None,
        };
        if let Some(value) = value {
            return Ok(Operand::plain(value));
        }
        let shown = here.show(expr);
        let expected = match kind {
            Type::Bool => "bool",
            Type::Str => "string",
            Type::Int | Type::Int64 => "integer",
            Type::Uint32 | Type::Uint64 => "unsigned integer",
            Type::Float => "float",
            _ => {
                return Err(self.error(format!("can't handle {shown} for arg of type {kind}")));
            }
        };
        Err(self.error(format!("expected {expected}; found {shown}")))
    }

    /// Makes sure that a value can be passed as what is wanted.
    pub(super) fn validate(&self, operand: Operand, want: Want) -> Result<Operand, Error> {
        let Want::Type(kind) = want else {
            return Ok(operand);
        };
        if operand.is_invalid() {
            return match kind.nil() {
                Some(value) => Ok(Operand {
                    value,
                    boxed: kind == Type::Any,
                }),
                None => Err(self.error(format!("invalid value; expected {}", want.name()))),
            };
        }
        if kind == Type::Any {
            return Ok(operand);
        }
        if kind.accepts(&operand.value) {
            // A named map type is lost when it is passed as a plain map.
            return Ok(match operand.value {
                Value::Map(map) if kind == Type::Map => {
                    Operand::plain(Value::Map(map.with_kind(MapKind::Plain)))
                }
                value => Operand::plain(value),
            });
        }
        let got = match operand.is_nil_interface() {
            true => operand.type_name(),
            false => operand.value.type_name(),
        };
        Err(self.error(format!(
            "wrong type for value; expected {}; got {got}",
            want.name()
        )))
    }
}
