//! What an expression comes to: pipelines, fields, calls.

use smallvec::SmallVec;

use super::arguments::Want;
use super::operand::{Here, Operand, through_maps};
use super::{Context, MissingKey, Values};
use crate::gotmpl::ast::{Chain, Command, Constant, Expr, Mark, Name, Pipe, Run, Variable};
use crate::gotmpl::builtins::{Builtin, missing, no_entry};
use crate::gotmpl::error::{Error, Missing};
use crate::gotmpl::function::{Args, Failure, Function, Signature, Type};
use crate::gotmpl::map::Map;
use crate::gotmpl::printf::quote;
use crate::gotmpl::stack::deeper;
use crate::gotmpl::text::Str;
use crate::gotmpl::value::{Kind, Value};

impl Context<'_> {
    pub(super) fn pipeline(&mut self, here: Here<'_>, pipe: &Pipe) -> Result<Operand, Error> {
        if let [command] = &here.nodes[pipe.commands]
            && pipe.extra.is_none()
        {
            self.at(pipe.mark);
            let mut value = self.command(here, command, None)?;
            value.boxed = false;
            return Ok(value);
        }
        let value = self
            .commands(here, pipe, pipe.commands)?
            .unwrap_or_default();
        for declared in pipe.declared(here.nodes) {
            self.assign(here, declared, value.clone())?;
        }
        Ok(value)
    }

    /// Some commands of a pipeline, each given the value of the one before.
    pub(super) fn commands(
        &mut self,
        here: Here<'_>,
        pipe: &Pipe,
        commands: Run<Command>,
    ) -> Result<Option<Operand>, Error> {
        self.at(pipe.mark);
        let nested = pipe.extra.map(|extra| here.nodes[extra].nested);
        for nested in &here.nodes[nested.unwrap_or(Run::EMPTY)] {
            let base = self.base;
            // Until it is declared, the name means what it meant before.
            self.slots[base + nested.slot as usize] = nested
                .before
                .and_then(|before| self.slots[base + before as usize].clone());
        }
        let mut value = None;
        for command in &here.nodes[commands] {
            let mut result = self.command(here, command, value)?;
            result.boxed = false;
            value = Some(result);
        }
        Ok(value)
    }

    pub(super) fn command(
        &mut self,
        here: Here<'_>,
        command: &Command,
        last: Option<Operand>,
    ) -> Result<Operand, Error> {
        let (&first, args) = here.nodes[command.args]
            .split_first()
            .expect("the parser rejects empty commands");
        match first {
            Expr::Field(mark, names) => {
                self.at(mark);
                self.fields(here, here.dot, mark, names, args, last)
            }
            Expr::Chain(mark, chain) => self.chain(here, mark, &here.nodes[chain], args, last),
            Expr::Function(mark, function) => {
                self.function(here, mark, function, command.mark, args, last)
            }
            Expr::Builtin(mark, builtin) => {
                self.builtin(here, mark, builtin, command.mark, args, last)
            }
            Expr::Pipe(_, pipe) => {
                self.not_a_function(here, first, args, &last)?;
                deeper(|| self.pipeline(here, &here.nodes[pipe]))
            }
            Expr::Variable(mark, variable) => {
                self.variable(here, first, mark, &here.nodes[variable], args, last)
            }
            Expr::Bool(mark, _)
            | Expr::Dot(mark)
            | Expr::Nil(mark)
            | Expr::Integer(mark, _)
            | Expr::Number(mark, _)
            | Expr::Text(mark, _)
            | Expr::Literal(mark, _) => {
                self.at(mark);
                self.not_a_function(here, first, args, &last)?;
                match first {
                    Expr::Dot(_) => Ok(here.dot.clone()),
                    Expr::Nil(_) => Err(self.error("nil is not a command")),
                    literal => self.constant(here, Want::Anything, literal),
                }
            }
        }
    }

    pub(super) fn not_a_function(
        &self,
        here: Here<'_>,
        first: Expr,
        args: &[Expr],
        last: &Option<Operand>,
    ) -> Result<(), Error> {
        match args.is_empty() && last.is_none() {
            true => Ok(()),
            false => Err(self.error(format!(
                "can't give argument to non-function {}",
                here.show(first)
            ))),
        }
    }

    /// A numeric constant where no type is asked for.
    pub(super) fn ideal(&self, constant: &Constant) -> Result<Value, Error> {
        let number = constant.number;
        let text = constant.text.as_str();
        let hexadecimal = text.len() > 2
            && text.starts_with(['0'])
            && text[1..].starts_with(['x', 'X'])
            && !text.contains(['p', 'P']);
        if let Some((real, imaginary)) = number.complex {
            return Ok(Value::Complex(real, imaginary));
        }
        match (number.float, number.int) {
            (Some(float), _)
                if !hexadecimal
                    && !text.starts_with('\'')
                    && text.contains(['.', 'e', 'E', 'p', 'P']) =>
            {
                Ok(Value::Float(float))
            }
            (_, Some(int)) => Ok(Value::Int(int)),
            _ => Err(self.error(format!("{text} overflows int"))),
        }
    }

    pub(super) fn chain(
        &mut self,
        here: Here<'_>,
        mark: Mark,
        chain: &Chain,
        args: &[Expr],
        last: Option<Operand>,
    ) -> Result<Operand, Error> {
        self.at(mark);
        let receiver = self.argument(here, Want::Anything, chain.node)?;
        self.fields(here, &receiver, mark, chain.fields, args, last)
    }

    pub(super) fn variable(
        &mut self,
        here: Here<'_>,
        expr: Expr,
        mark: Mark,
        variable: &Variable,
        args: &[Expr],
        last: Option<Operand>,
    ) -> Result<Operand, Error> {
        self.at(mark);
        let held = variable
            .slot
            .and_then(|slot| self.slots[self.base + slot as usize].as_ref());
        let Some(held) = held else {
            let name = variable.name.of(here.text);
            return Err(self.error(format!("undefined variable: {name}")));
        };
        if let Some(trace) = &mut self.trace
            && let Some(slot) = variable.slot
        {
            trace.variable(self.base + slot as usize);
        }
        if variable.fields.is_empty() {
            let held = held.clone();
            self.not_a_function(here, expr, args, &last)?;
            return Ok(held);
        }
        if args.is_empty()
            && last.is_none()
            && self.trace.is_none()
            && let Some(found) = through_maps(here, held, variable.fields)
        {
            return Ok(found);
        }
        let held = held.clone();
        self.fields(here, &held, mark, variable.fields, args, last)
    }

    /// `.a.b.c`, where the last name may be a method that takes arguments.
    pub(super) fn fields(
        &mut self,
        here: Here<'_>,
        receiver: &Operand,
        mark: Mark,
        names: Run<Name>,
        args: &[Expr],
        last: Option<Operand>,
    ) -> Result<Operand, Error> {
        if args.is_empty()
            && last.is_none()
            && self.trace.is_none()
            && let Some(found) = through_maps(here, receiver, names)
        {
            return Ok(found);
        }
        let names: SmallVec<[&str; 8]> = here.nodes[names]
            .iter()
            .map(|name| name.of(here.text))
            .collect();
        let (name, before) = names
            .split_last()
            .expect("the parser makes no empty chains");
        let mut holders: SmallVec<[Operand; 4]> = SmallVec::new();
        for name in before {
            let receiver = holders.last().unwrap_or(receiver);
            match self.field(here, receiver, mark, name, &[], None) {
                Ok(found) => {
                    if let Some(trace) = &mut self.trace {
                        trace.passed();
                    }
                    holders.push(found);
                }
                Err(error) => return Err(self.about_missing(error, receiver, &holders, &names)),
            }
        }
        let holder = holders.last().unwrap_or(receiver);
        self.field(here, holder, mark, name, args, last)
            .map_err(|error| self.about_missing(error, holder, &holders, &names))
    }

    /// Adds to an error what it was that has no fields.
    #[cold]
    fn about_missing(
        &self,
        error: Error,
        receiver: &Operand,
        holders: &[Operand],
        names: &[&str],
    ) -> Error {
        let nothing = receiver.is_nil_interface();
        let scalar = !matches!(
            receiver.value,
            Value::Map(_) | Value::Object(_) | Value::Nil
        );
        if error.missing().is_some() || !(nothing || scalar) {
            return error;
        }
        // `names[..holders.len()]` have been found, the last of them is this.
        let found = &names[..holders.len()];
        let expression = match error.location().and_then(|at| at.node.as_deref()) {
            Some(node) => {
                let rest: usize = names[holders.len()..]
                    .iter()
                    .map(|name| name.len() + 1)
                    .sum();
                node.get(..node.len().saturating_sub(rest)).unwrap_or(node)
            }
            None => "",
        };
        let mut missing = Missing {
            expression: expression.to_owned(),
            found: scalar.then(|| receiver.value.type_name().into_owned()),
            ..Missing::default()
        };
        let above = match holders {
            [.., above, _] => Some(&above.value),
            _ => None,
        };
        if let Some(Value::Map(above)) = above {
            missing.path = path_to(&self.data, above).map(|mut path| {
                path.extend(found.last().map(ToString::to_string));
                path
            });
            missing.keys = above.keys().iter().map(ToString::to_string).collect();
        }
        error.missing_value(missing)
    }

    pub(super) fn field(
        &mut self,
        here: Here<'_>,
        receiver: &Operand,
        mark: Mark,
        name: &str,
        args: &[Expr],
        last: Option<Operand>,
    ) -> Result<Operand, Error> {
        if receiver.is_invalid() {
            if self.missing_key == MissingKey::Error {
                let name = quote(name.as_bytes());
                return Err(self.error(format!("nil data; no entry for key {name}")));
            }
            return Ok(Operand::default());
        }
        if receiver.is_nil_interface() {
            return Err(self.error(format!("nil pointer evaluating interface {{}}.{name}")));
        }
        let has_args = !args.is_empty() || last.is_some();
        match &receiver.value {
            Value::Map(map) => {
                let functions = self.set.functions();
                if let Some(method) = functions.values_method(map.kind(), name) {
                    let map = map.clone();
                    let mut values = Values::new();
                    self.arguments(here, name, &method.signature, args, last, &mut values)?;
                    let result = (method.call)(&map, self, &mut Args::new(&mut values));
                    return self.returned(mark, name, &method.signature, result);
                }
                if has_args {
                    return Err(self.error(format!("{name} is not a method but has arguments")));
                }
                let found = map.get(name);
                if let Some(trace) = &mut self.trace {
                    trace.step(map, &Str::from(name), found.as_ref().unwrap_or(&Value::Nil));
                }
                let value = match (found, self.missing_key) {
                    (Some(value), _) => Operand {
                        value,
                        boxed: map.kind().is_boxed(),
                    },
                    (None, MissingKey::Zero) => missing(map.kind()),
                    (None, MissingKey::Invalid) => Operand::default(),
                    (None, MissingKey::Error) => return Err(self.error(no_entry(name))),
                };
                return Ok(value);
            }
            Value::Object(object) => {
                if let Some(method) = object.method(name) {
                    let object = object.clone();
                    let mut values = Values::new();
                    self.arguments(here, name, &method.signature, args, last, &mut values)?;
                    let result = (method.call)(&*object, self, &mut Args::new(&mut values));
                    return self.returned(mark, name, &method.signature, result);
                }
                if let Some(value) = object.field(name) {
                    if has_args {
                        return Err(self.error(match object.kind() {
                            Kind::Map => format!("{name} is not a method but has arguments"),
                            _ => format!("{name} has arguments but cannot be invoked as function"),
                        }));
                    }
                    return Ok(Operand::plain(value));
                }
            }
            _ => {}
        }
        Err(self.error(format!(
            "can't evaluate field {name} in type {}",
            receiver.type_name()
        )))
    }

    pub(super) fn function(
        &mut self,
        here: Here<'_>,
        mark: Mark,
        function: &'static Function,
        node: Mark,
        args: &[Expr],
        last: Option<Operand>,
    ) -> Result<Operand, Error> {
        self.at(mark);
        let name = function.name;
        let mut values = Values::new();
        self.arguments(here, name, &function.signature, args, last, &mut values)?;
        self.calling = node;
        if let Some(trace) = &mut self.trace {
            trace.call(name, &values);
        }
        let result = (function.call)(self, &mut Args::new(&mut values));
        self.returned(node, name, &function.signature, result)
    }

    pub(super) fn returned(
        &mut self,
        node: Mark,
        name: &str,
        signature: &Signature,
        result: Result<Value, Failure>,
    ) -> Result<Operand, Error> {
        let value = result
            .and_then(|value| self.counted(&value).map(|()| value))
            .map_err(|failure| self.call_failed(node, name, failure))?;
        Ok(Operand {
            value,
            boxed: signature.returns == Type::Any,
        })
    }

    /// Counts what a function returned, if it is text.
    fn counted(&mut self, result: &Value) -> Result<(), Failure> {
        match result {
            Value::Str(text) => self.charge(text.len()),
            _ => Ok(()),
        }
    }

    pub(super) fn builtin(
        &mut self,
        here: Here<'_>,
        mark: Mark,
        builtin: Builtin,
        node: Mark,
        args: &[Expr],
        last: Option<Operand>,
    ) -> Result<Operand, Error> {
        self.at(mark);
        let (fixed, variadic) = builtin.arity();
        let given = args.len() + usize::from(last.is_some());
        self.check_count(builtin.name(), fixed, variadic, args.len(), given)?;
        if matches!(builtin, Builtin::And | Builtin::Or) {
            let mut value = Operand::default();
            for &arg in args {
                value = self.argument(here, Want::Reflect, arg)?;
                if value.value.is_true() == (builtin == Builtin::Or) {
                    return Ok(value);
                }
            }
            return Ok(last.unwrap_or(value));
        }
        let want = |index: usize| match builtin {
            Builtin::Printf if index == 0 => Want::Type(Type::Str),
            Builtin::Print
            | Builtin::Printf
            | Builtin::Println
            | Builtin::Html
            | Builtin::Js
            | Builtin::Urlquery => Want::Type(Type::Any),
            _ => Want::Reflect,
        };
        let mut operands: SmallVec<[Operand; 4]> = SmallVec::new();
        for (index, &arg) in args.iter().enumerate() {
            operands.push(self.argument(here, want(index), arg)?);
        }
        if let Some(last) = last {
            operands.push(self.validate(last, want(args.len()))?);
        }
        if builtin == Builtin::Call {
            // No value that a template can reach is a function.
            let failure = match (&operands[0].value, args.first()) {
                (Value::Nil, _) => "call of nil".to_owned(),
                (value, Some(arg)) => {
                    let (arg, name) = (here.show(*arg), value.type_name());
                    format!("non-function {arg} of type {name}")
                }
                (Value::Str(text), None) => format!("non-function {text} of type string"),
                (value, None) => {
                    let name = value.type_name();
                    format!("non-function <{name} Value> of type {name}")
                }
            };
            let failure = Failure::new(failure);
            return Err(self.call_failed(node, "call", failure));
        }
        if let Some(trace) = &mut self.trace
            && builtin == Builtin::Index
        {
            let values: Values = operands
                .iter()
                .map(|operand| operand.value.clone())
                .collect();
            trace.index(&values);
        }
        let result = match builtin.print(&operands, self.room()) {
            None => builtin.call(&operands),
            Some(Ok(text)) => Ok(Operand::plain(Value::Str(text.into()))),
            Some(Err(cut)) => Err(self.cut(cut)),
        };
        result
            .and_then(|result| self.counted(&result.value).map(|()| result))
            .map_err(|failure| self.call_failed(node, builtin.name(), failure))
    }
}

/// The keys that lead from `data` to a map, if it is inside; breadth first,
/// and no map twice: a map can contain itself.
fn path_to(data: &Value, wanted: &Map) -> Option<Vec<String>> {
    /// More maps than charts have; what looks for longer is no help.
    const MOST: usize = 100_000;
    let Value::Map(root) = data else { return None };
    // Each map with the number of the one that it was found in.
    let mut maps: Vec<(Map, usize, String)> = vec![(root.clone(), 0, String::new())];
    let mut seen = std::collections::HashSet::from([root.address()]);
    let mut at = 0;
    while at < maps.len() && maps.len() < MOST {
        let map = maps[at].0.clone();
        if map.is(wanted) {
            let mut path = Vec::new();
            while at != 0 {
                path.push(maps[at].2.clone());
                at = maps[at].1;
            }
            path.reverse();
            return Some(path);
        }
        for (key, value) in map.entries() {
            if let Value::Map(below) = value
                && seen.insert(below.address())
            {
                maps.push((below, at, key.to_string()));
            }
        }
        at += 1;
    }
    None
}
