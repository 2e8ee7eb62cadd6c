//! Jinja2's filters and tests where the engine's own differ from Python's: the table of them, and those about lists.

use std::collections::HashSet;
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr, Rest, Value, ValueKind};
use minijinja::{Environment, State};

use crate::arguments::{split_kwargs, Args, Folding};
use crate::budget::{append, checked_size, Budget, Made, MAX_ITEMS};
use crate::expression::{ARITHMETIC, ATTRIBUTE, CALL, COMPARE, CONCAT, DICT, ITEM, KEEP, METHOD, SIGN, SLICE, TUPLE, UNSET};
use crate::methods::sorted;
use crate::printing::{repr, text};
use crate::python::{checked_dict, equal, equal_within, hashable_within, hashed, iterate, list, tuple, type_error, type_name, undefined_error, Outcome, Tuple};
use crate::{access, globals, operators, scalar};

/// Refuses what `for` cannot iterate.
pub const ITERABLE: &str = "__iterable";

/// What a macro's parameter holds until its default is set.
#[derive(Debug)]
struct Unset;

impl Object for Unset {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

type Filter = fn(&State, &Value, &[Value]) -> Outcome;

// `random` takes the first element: a prompt must be the same each time.
const FILTERS: &[(&str, Filter)] = &[
    ("tojson", scalar::tojson), ("join", join), ("string", |_, v, _| text(v).map(Value::from)), ("upper", |_, v, a| scalar::on_text(v, a, str::to_uppercase)),
    ("lower", |_, v, a| scalar::on_text(v, a, str::to_lowercase)), ("capitalize", |_, v, a| scalar::on_text(v, a, scalar::capitalize)),
    ("title", |_, v, a| scalar::on_text(v, a, scalar::title)), ("trim", scalar::trim), ("replace", scalar::replace_filter),
    ("length", length), ("count", length), ("first", first), ("last", last), ("list", |_, v, _| Ok(list(iterate(v)?))),
    ("sort", sort), ("min", |_, v, a| extreme(v, a, false)), ("max", |_, v, a| extreme(v, a, true)), ("sum", sum), ("unique", unique),
    ("map", map), ("select", |s, v, a| select(s, v, a, false, true)), ("reject", |s, v, a| select(s, v, a, false, false)),
    ("selectattr", |s, v, a| select(s, v, a, true, true)), ("rejectattr", |s, v, a| select(s, v, a, true, false)),
    ("batch", batch), ("slice", slice), ("groupby", groupby), ("random", first), ("dictsort", dictsort), ("items", items), ("round", scalar::round),
    ("int", scalar::int), ("float", scalar::float), ("abs", scalar::abs), ("default", default), ("d", default), ("attr", attr), ("truncate", scalar::truncate), ("indent", scalar::indent),
    ("center", scalar::center), ("wordcount", scalar::wordcount), ("wordwrap", scalar::wordwrap), ("format", scalar::format), ("escape", scalar::escape), ("e", scalar::escape),
    ("striptags", scalar::striptags), ("urlencode", scalar::urlencode), ("filesizeformat", scalar::filesizeformat), ("xmlattr", scalar::xmlattr), ("reverse", reverse),
    (ITERABLE, |_, v, _| iterate(v).map(|items| if v.kind() == ValueKind::String { list(items) } else { v.clone() })),
    (KEEP, |_, v, _| Ok(v.clone())),
    ("pprint", |_, v, _| repr(v).map(Value::from)), ("forceescape", |_, v, _| Ok(Value::from_safe_string(scalar::escaped(&text(v)?)))),
    ("safe", |_, v, _| text(v).map(Value::from_safe_string)),
    (ARITHMETIC, operators::arithmetic), (COMPARE, operators::comparison), (CONCAT, operators::concat), (SIGN, operators::sign),
    (ATTRIBUTE, access::attribute), (ITEM, access::subscript), (SLICE, access::slice), (CALL, access::call), (METHOD, access::call_method),
    (TUPLE, |_, _, a| Ok(tuple(a.to_vec()))), (UNSET, |_, _, _| Ok(Value::from_object(Unset))),
    (DICT, |_, _, a| checked_dict(a.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())),
];

/// Tests that compare, by the operator they stand for.
const COMPARISONS: [(&str, &[&str]); 7] = [
    ("==", &["eq", "equalto", "=="]), ("!=", &["ne", "!="]), ("<", &["lt", "lessthan", "<"]), ("<=", &["le", "<="]),
    (">", &["gt", "greaterthan", ">"]), (">=", &["ge", ">="]), ("in", &["in"]),
];

/// Filters that give what is there already.
const PASSING: [&str; 14] = [ITERABLE, KEEP, COMPARE, ATTRIBUTE, ITEM, UNSET, "attr", "default", "d", "first", "last", "random", "min", "max"];

pub fn install(environment: &mut Environment, made: &Arc<Made>) {
    for unknown in ["bool", "lines", "split", "chain", "zip"] {
        environment.remove_filter(unknown);
    }
    for (name, filter) in FILTERS {
        let made = (!PASSING.contains(name)).then(|| made.clone());
        environment.add_filter(*name, move |state: &State, value: Value, rest: Rest<Value>| {
            let result = filter(state, &value, &rest)?;
            match &made {
                Some(made) => made.checked(result),
                None => Ok(result),
            }
        });
    }
    globals::install(environment);
    environment.add_test("integer", |v: Value| v.is_integer() && v.kind() == ValueKind::Number);
    environment.add_test("number", |v: Value| matches!(v.kind(), ValueKind::Number | ValueKind::Bool));
    environment.add_test("sequence", |v: Value| matches!(v.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::String | ValueKind::Undefined));
    environment.add_test("iterable", |v: Value| !matches!(v.kind(), ValueKind::None | ValueKind::Bool | ValueKind::Number));
    environment.add_test("lower", |v: Value| text(&v).map(|s| s.chars().any(char::is_lowercase) && !s.chars().any(char::is_uppercase)));
    environment.add_test("upper", |v: Value| text(&v).map(|s| s.chars().any(char::is_uppercase) && !s.chars().any(char::is_lowercase)));
    let rest = |value: &Value, by: &Value, wanted: i32| equal(&operators::binary("%", value, by)?, &Value::from(wanted));
    environment.add_test("divisibleby", move |v: Value, by: Value| rest(&v, &by, 0));
    environment.add_test("even", move |v: Value| rest(&v, &Value::from(2), 0));
    environment.add_test("odd", move |v: Value| rest(&v, &Value::from(2), 1));
    environment.add_test("callable", |v: Value| matches!(v.kind(), ValueKind::Plain | ValueKind::Undefined));
    environment.add_test(UNSET, |v: Value| v.downcast_object_ref::<Unset>().is_some());
    for (operator, names) in COMPARISONS {
        for name in names {
            environment.add_test(*name, move |left: Value, right: Value| operators::holds(operator, &left, &right));
        }
    }
}

pub fn parse(name: &str, names: &'static [&'static str], given: &[Value]) -> Outcome<Args> {
    Args::parse(name, names, given)
}

/// `a.b.0`: names and numbers, one after another.
fn attribute(value: &Value, path: &Value) -> Outcome {
    if path.kind() != ValueKind::String {
        return member(value, path);
    }
    let mut current = value.clone();
    for part in path.as_str().unwrap_or_default().split('.') {
        let key = part.parse::<i64>().map_or_else(|_| Value::from(part), Value::from);
        current = member(&current, &key)?;
    }
    Ok(current)
}

fn member(value: &Value, key: &Value) -> Outcome {
    access::item(value, key)
}

fn join(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("join", &["d", "attribute"], given)?;
    let separator = args.string("d", "")?;
    let mut out = String::new();
    for (index, item) in iterate(value)?.into_iter().enumerate() {
        append(&mut out, if index > 0 { &separator } else { "" })?;
        let part = match args.get("attribute").filter(|a| !a.is_none()) {
            Some(path) => attribute(&item, path)?,
            None => item,
        };
        append(&mut out, &text(&part)?)?;
    }
    Ok(Value::from(out))
}

fn length(_: &State, value: &Value, _: &[Value]) -> Outcome {
    match value.kind() {
        ValueKind::None | ValueKind::Bool | ValueKind::Number => type_error(format!("object of type '{}' has no len()", type_name(value))),
        ValueKind::Map if type_name(value) == "Namespace" => type_error("object of type 'Namespace' has no len()"),
        _ => match value.len() {
            Some(count) => Ok(Value::from(count)),
            None => Ok(Value::from(iterate(value)?.len())),
        },
    }
}

fn first(_: &State, value: &Value, _: &[Value]) -> Outcome {
    if let Some(s) = value.as_str() {
        return Ok(s.chars().next().map(|letter| Value::from(letter.to_string())).unwrap_or_default());
    }
    Ok(iterate(value)?.into_iter().next().unwrap_or_default())
}

fn last(_: &State, value: &Value, _: &[Value]) -> Outcome {
    if let Some(s) = value.as_str() {
        return Ok(s.chars().next_back().map(|letter| Value::from(letter.to_string())).unwrap_or_default());
    }
    Ok(iterate(value)?.pop().unwrap_or_default())
}

fn reverse(_: &State, value: &Value, _: &[Value]) -> Outcome {
    if let Some(s) = value.as_str() {
        return Ok(Value::from(s.chars().rev().collect::<String>()));
    }
    let mut items = iterate(value)?;
    items.reverse();
    Ok(list(items))
}

fn sort(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("sort", &["reverse", "case_sensitive", "attribute"], given)?;
    let mut folding = Folding::new(&args);
    let mut keyed = Vec::new();
    for item in iterate(value)? {
        let key = match args.get("attribute").filter(|a| !a.is_none()) {
            Some(paths) if paths.kind() == ValueKind::String => {
                let parts: Outcome<Vec<Value>> = paths.as_str().unwrap_or_default().split(',')
                    .map(|path| folding.key(attribute(&item, &Value::from(path))?)).collect();
                list(parts?)
            }
            Some(path) => folding.key(attribute(&item, path)?)?,
            None => folding.key(item.clone())?,
        };
        keyed.push((key, item));
    }
    Ok(list(sorted(keyed, args.truth("reverse", false))?))
}

fn extreme(value: &Value, given: &[Value], largest: bool) -> Outcome {
    let args = parse("min", &["case_sensitive", "attribute"], given)?;
    let mut folding = Folding::new(&args);
    let mut keyed = Vec::new();
    for item in iterate(value)? {
        let key = match args.get("attribute").filter(|a| !a.is_none()) {
            Some(path) => attribute(&item, path)?,
            None => item.clone(),
        };
        keyed.push((folding.key(key)?, item));
    }
    Ok(sorted(keyed, largest)?.into_iter().next().unwrap_or_default())
}

fn sum(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("sum", &["attribute", "start"], given)?;
    let mut total = args.get("start").cloned().unwrap_or(Value::from(0));
    if total.kind() == ValueKind::String {
        return type_error("sum() can't sum strings [use ''.join(seq) instead]");
    }
    let mut budget = Budget::new();
    for item in iterate(value)? {
        let part = match args.get("attribute").filter(|a| !a.is_none()) {
            Some(path) => attribute(&item, path)?,
            None => item,
        };
        budget.spend(total.len().unwrap_or(0) / 8)?;
        total = operators::binary("+", &total, &part)?;
    }
    Ok(total)
}

fn unique(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("unique", &["case_sensitive", "attribute"], given)?;
    let (mut folding, mut budget) = (Folding::new(&args), Budget::new());
    let mut seen = HashSet::new();
    let mut kept = Vec::new();
    for item in iterate(value)? {
        let key = match args.get("attribute").filter(|a| !a.is_none()) {
            Some(path) => attribute(&item, path)?,
            None => item.clone(),
        };
        let key = folding.key(key)?;
        if !hashable_within(&key, &mut budget)? {
            return type_error(format!("unhashable type: '{}'", type_name(&key)));
        }
        if seen.insert(hashed(&key)) {
            kept.push(item);
        }
    }
    Ok(list(kept))
}

/// Nothing of a false value, even one that cannot be iterated.
fn iterate_if_true(value: &Value) -> Outcome<Vec<Value>> {
    if value.is_true() { iterate(value) } else { Ok(Vec::new()) }
}

fn map(state: &State, value: &Value, given: &[Value]) -> Outcome {
    let (positional, keywords) = split_kwargs(given);
    let mut out = Vec::new();
    if positional.is_empty() {
        let named = |wanted: &str| keywords.iter().find(|(key, _)| key == wanted).map(|(_, value)| value);
        let Some(path) = named("attribute") else { return type_error("map requires a filter argument") };
        for item in iterate_if_true(value)? {
            let found = attribute(&item, path)?;
            out.push(match named("default") {
                Some(default) if found.is_undefined() => default.clone(),
                _ => found,
            });
        }
        return Ok(list(out));
    }
    let name = text(&positional[0])?;
    for item in iterate_if_true(value)? {
        let arguments: Vec<Value> = std::iter::once(item).chain(given[1..].iter().cloned()).collect();
        out.push(state.apply_filter(&name, &arguments)?);
    }
    Ok(list(out))
}

fn select(state: &State, value: &Value, given: &[Value], by_attribute: bool, keep: bool) -> Outcome {
    let mut given = given.to_vec();
    if by_attribute && given.is_empty() {
        return type_error("Missing parameter for attribute name");
    }
    let path = if by_attribute { Some(given.remove(0)) } else { None };
    let mut out = Vec::new();
    for item in iterate_if_true(value)? {
        let subject = path.as_ref().map_or_else(|| Ok(item.clone()), |path| attribute(&item, path))?;
        let yes = match given.first() {
            None => subject.is_true(),
            Some(test) => {
                let arguments: Vec<Value> = std::iter::once(subject).chain(given[1..].iter().cloned()).collect();
                state.perform_test(&text(test)?, &arguments)?
            }
        };
        if yes == keep {
            out.push(item);
        }
    }
    Ok(list(out))
}

fn batch(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("batch", &["linecount", "fill_with"], given)?;
    let size = checked_size(args.integer("linecount", 1)?)?.clamp(1, MAX_ITEMS as usize);
    let rows = iterate(value)?.chunks(size).map(|row| {
        let mut row = row.to_vec();
        if let Some(fill) = args.get("fill_with").filter(|f| !f.is_none()) {
            row.resize(size, fill.clone());
        }
        list(row)
    }).collect::<Vec<Value>>();
    Ok(list(rows))
}

fn slice(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("slice", &["slices", "fill_with"], given)?;
    let items = iterate(value)?;
    let count = checked_size(args.integer("slices", 1)?)?.clamp(1, MAX_ITEMS as usize);
    let (per, extra) = (items.len() / count, items.len() % count);
    let mut rest = items.as_slice();
    let mut out = Vec::new();
    for index in 0..count {
        let (head, tail) = rest.split_at(per + usize::from(index < extra));
        rest = tail;
        let mut part = head.to_vec();
        if let Some(fill) = args.get("fill_with").filter(|f| !f.is_none() && index >= extra && extra > 0) {
            part.push(fill.clone());
        }
        out.push(list(part));
    }
    Ok(list(out))
}

fn groupby(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("groupby", &["attribute", "default", "case_sensitive"], given)?;
    let Some(path) = args.get("attribute") else { return type_error("groupby requires an attribute") };
    let mut folding = Folding::new(&args);
    let mut keyed: Vec<(Value, Value)> = Vec::new();
    for item in iterate(value)? {
        let mut key = attribute(&item, path)?;
        if key.is_undefined() {
            match args.get("default") {
                Some(default) => key = default.clone(),
                None => return undefined_error(format!("{} object has no element {}", type_name(&item), repr(path)?)),
            }
        }
        let order = folding.key(key.clone())?;
        keyed.push((order.clone(), list(vec![order, key, item])));
    }
    let mut budget = Budget::new();
    let mut groups: Vec<(Value, Value, Vec<Value>)> = Vec::new();
    for entry in sorted(keyed, false)? {
        let (order, key, item) = (entry.get_item_by_index(0)?, entry.get_item_by_index(1)?, entry.get_item_by_index(2)?);
        let same = groups.last().map_or(Ok(false), |(known, ..)| equal_within(known, &order, &mut budget))?;
        match groups.last_mut().filter(|_| same) {
            Some((.., members)) => members.push(item),
            None => groups.push((order, key, vec![item])),
        }
    }
    let entry = |(_, key, members): (Value, Value, Vec<Value>)| Value::from_object(Tuple(vec![key, list(members)], &["grouper", "list"]));
    Ok(list(groups.into_iter().map(entry).collect()))
}

fn dictsort(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("dictsort", &["case_sensitive", "by", "reverse"], given)?;
    let by_value = args.string("by", "key")? == "value";
    if type_name(value) != "dict" {
        return type_error(format!("'{}' object has no attribute 'items'", type_name(value)));
    }
    let mut folding = Folding::new(&args);
    let mut keyed = Vec::new();
    for key in iterate(value)? {
        let member = value.get_item(&key)?;
        let order = folding.key(if by_value { member.clone() } else { key.clone() })?;
        keyed.push((order, tuple(vec![key, member])));
    }
    Ok(list(sorted(keyed, args.truth("reverse", false))?))
}

fn items(_: &State, value: &Value, _: &[Value]) -> Outcome {
    match value.kind() {
        ValueKind::Undefined => Ok(list(Vec::new())),
        ValueKind::Map => iterate(value)?.into_iter().map(|key| Ok(tuple(vec![key.clone(), value.get_item(&key)?]))).collect::<Outcome<Vec<Value>>>().map(list),
        _ => type_error("Can only get item pairs from a mapping."),
    }
}

fn default(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("default", &["default_value", "boolean"], given)?;
    let replaced = value.is_undefined() || (args.truth("boolean", false) && !value.is_true());
    Ok(if replaced { args.get("default_value").cloned().unwrap_or(Value::from("")) } else { value.clone() })
}

fn attr(_: &State, value: &Value, given: &[Value]) -> Outcome {
    let args = parse("attr", &["name"], given)?;
    access::only_attribute(value, &args.string("name", "")?)
}
