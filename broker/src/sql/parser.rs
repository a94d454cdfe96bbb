//! Builds the tree of an expression, loosest operators first.

use super::words::{Word, words};
use super::{Comparison, DEPTH_MAX, Expression, Node, PROPERTIES_MAX, Search, SqlError, TEXT_BYTES_MAX};

const KEYWORDS: [&str; 12] = [
    "NOT",
    "AND",
    "OR",
    "BETWEEN",
    "IN",
    "TRUE",
    "FALSE",
    "NULL",
    "IS",
    "CONTAINS",
    "STARTSWITH",
    "ENDSWITH",
];

type Parsed<T = Node> = Result<T, SqlError>;

/// Reads a whole text.
///
/// # Errors
///
/// [`SqlError`], naming the position.
pub(super) fn parse(text: &str) -> Parsed<Expression> {
    if text.len() > TEXT_BYTES_MAX {
        let what = format!("the expression has {} bytes, {TEXT_BYTES_MAX} are allowed; it ends", text.len());
        return Err(SqlError::new(TEXT_BYTES_MAX, what));
    }
    let words = words(text)?;
    let names = names(&words)?;
    let mut parser = Parser { words: &words, names: &names, next: 0, end: text.len(), depth: 0 };
    let root = parser.condition(Parser::or)?;
    if parser.next < words.len() {
        return Err(parser.expected("an operator or the end"));
    }
    Ok(Expression { names: names.iter().map(|name| Box::from(*name)).collect(), root })
}

/// The properties that are named, sorted.
fn names<'a>(words: &[(usize, Word<'a>)]) -> Parsed<Vec<&'a str>> {
    let mut names = Vec::new();
    for (at, word) in words {
        let Word::Name(name) = word else { continue };
        if keyword(name).is_none()
            && let Err(place) = names.binary_search(name)
        {
            if names.len() == PROPERTIES_MAX {
                return Err(SqlError::new(*at, format!("more than {PROPERTIES_MAX} different properties")));
            }
            names.insert(place, *name);
        }
    }
    Ok(names)
}

/// The keyword that a name is, in any case.
fn keyword(name: &str) -> Option<&'static str> {
    KEYWORDS.into_iter().find(|keyword| name.eq_ignore_ascii_case(keyword))
}

struct Parser<'a> {
    words: &'a [(usize, Word<'a>)],
    /// The properties, sorted.
    names: &'a [&'a str],
    next: usize,
    /// Bytes of the text.
    end: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    /// Where the next word starts.
    fn at(&self) -> usize {
        self.words.get(self.next).map_or(self.end, |(at, _)| *at)
    }

    fn peek(&self) -> Option<&'a Word<'a>> {
        self.words.get(self.next).map(|(_, word)| word)
    }

    fn expected(&self, what: &str) -> SqlError {
        let found = match self.peek() {
            None => "the end".to_owned(),
            Some(Word::Name(name)) => (*name).to_owned(),
            Some(Word::Text(_)) => "a text".to_owned(),
            Some(Word::Whole(_) | Word::Decimal(_)) => "a number".to_owned(),
            Some(Word::Symbol(symbol)) => (*symbol).to_owned(),
        };
        SqlError::new(self.at(), format!("expected {what}, found {found}"))
    }

    fn is_keyword(&self, ahead: usize, keyword: &str) -> bool {
        matches!(self.words.get(self.next + ahead), Some((_, Word::Name(name))) if name.eq_ignore_ascii_case(keyword))
    }

    /// Takes a keyword if it comes next.
    fn keyword(&mut self, keyword: &str) -> bool {
        let found = self.is_keyword(0, keyword);
        self.next += usize::from(found);
        found
    }

    /// Takes a symbol if it comes next.
    fn symbol(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Some(Word::Symbol(found)) if *found == symbol);
        self.next += usize::from(found);
        found
    }

    fn need_symbol(&mut self, symbol: &str) -> Parsed<()> {
        if self.symbol(symbol) { Ok(()) } else { Err(self.expected(symbol)) }
    }

    fn deeper(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(SqlError::new(self.at(), format!("nested deeper than {DEPTH_MAX}")));
        }
        Ok(())
    }

    /// What `part` reads, which must be something that is true, false or NULL.
    fn condition(&mut self, part: fn(&mut Self) -> Parsed) -> Parsed {
        let at = self.at();
        as_condition(part(self)?, at)
    }

    fn or(&mut self) -> Parsed {
        self.list("OR", Self::and, Node::Or)
    }

    fn and(&mut self) -> Parsed {
        self.list("AND", Self::equality, Node::And)
    }

    /// Parts that are joined by a keyword; one alone is itself.
    fn list(&mut self, keyword: &str, part: fn(&mut Self) -> Parsed, join: fn(Vec<Node>) -> Node) -> Parsed {
        let at = self.at();
        let first = part(self)?;
        if !self.is_keyword(0, keyword) {
            return Ok(first);
        }
        let mut parts = vec![as_condition(first, at)?];
        while self.keyword(keyword) {
            parts.push(self.condition(part)?);
        }
        Ok(join(parts))
    }

    fn equality(&mut self) -> Parsed {
        let (depth, at) = (self.depth, self.at());
        let mut left = self.comparison()?;
        loop {
            let negated = if self.symbol("=") {
                false
            } else if self.symbol("<>") {
                true
            } else if self.keyword("IS") {
                let negated = self.keyword("NOT");
                if !self.keyword("NULL") {
                    return Err(self.expected("NULL"));
                }
                left = negate(Node::IsNull(Box::new(left)), negated);
                self.deeper()?;
                continue;
            } else {
                self.depth = depth;
                return Ok(left);
            };
            self.deeper()?;
            let right_at = self.at();
            let right = self.comparison()?;
            for (side, at) in [(&left, at), (&right, right_at)] {
                if *side == Node::Null {
                    return Err(SqlError::new(at, "NULL cannot be compared, only IS NULL asks for it"));
                }
            }
            left = negate(Node::Compare(Comparison::Equal, Box::new((left, right))), negated);
        }
    }

    fn comparison(&mut self) -> Parsed {
        let (depth, at) = (self.depth, self.at());
        let mut left = self.unary()?;
        loop {
            if let Some(how) = self.order() {
                self.deeper()?;
                let left_number = comparable(left, at)?;
                left = Node::Compare(how, Box::new((left_number, self.bound()?)));
                continue;
            }
            let negated = self.is_keyword(0, "NOT");
            let keyword = usize::from(negated);
            let search = [
                ("CONTAINS", Search::Contains),
                ("STARTSWITH", Search::StartsWith),
                ("ENDSWITH", Search::EndsWith),
            ];
            let search = search.iter().find(|(name, _)| self.is_keyword(keyword, name));
            if let Some((_, how)) = search {
                self.next += keyword + 1;
                let text = self.text()?;
                left = Node::Search { how: *how, negated, within: Box::new(left), text };
            } else if self.is_keyword(keyword, "BETWEEN") {
                self.next += keyword + 1;
                left = self.between(comparable(left, at)?, negated)?;
            } else if self.is_keyword(keyword, "IN") {
                self.next += keyword + 1;
                left = negate(self.within(&left, at)?, negated);
            } else {
                self.depth = depth;
                return Ok(left);
            }
            self.deeper()?;
        }
    }

    fn order(&mut self) -> Option<Comparison> {
        let all = [
            (">", Comparison::Greater),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            ("<=", Comparison::LessOrEqual),
        ];
        all.into_iter().find(|(symbol, _)| self.symbol(symbol)).map(|(_, how)| how)
    }

    /// A side of a comparison by size.
    fn bound(&mut self) -> Parsed {
        let at = self.at();
        comparable(self.unary()?, at)
    }

    fn between(&mut self, value: Node, negated: bool) -> Parsed {
        let at = self.at();
        let low = self.bound()?;
        if !self.keyword("AND") {
            return Err(self.expected("AND"));
        }
        let high = self.bound()?;
        if let (Some(low), Some(high)) = (constant(&low), constant(&high))
            && low > high
        {
            return Err(SqlError::new(at, "the first bound of BETWEEN is above the second"));
        }
        let side = |how, bound| Node::Compare(how, Box::new((value.clone(), bound)));
        Ok(if negated {
            Node::Or(vec![side(Comparison::Less, low), side(Comparison::Greater, high)])
        } else {
            Node::And(vec![side(Comparison::GreaterOrEqual, low), side(Comparison::LessOrEqual, high)])
        })
    }

    /// The list of IN.
    fn within(&mut self, left: &Node, at: usize) -> Parsed {
        let Node::Property(property) = left else {
            return Err(SqlError::new(at, "only a property can be IN a list"));
        };
        self.need_symbol("(")?;
        let mut texts = vec![self.text()?];
        while self.symbol(",") {
            texts.push(self.text()?);
        }
        self.need_symbol(")")?;
        texts.sort_unstable();
        texts.dedup();
        Ok(Node::In(*property, texts.into()))
    }

    fn text(&mut self) -> Parsed<Box<str>> {
        let Some(Word::Text(text)) = self.peek() else {
            return Err(self.expected("a text in single quotes"));
        };
        self.next += 1;
        Ok(text.clone())
    }

    fn unary(&mut self) -> Parsed {
        self.deeper()?;
        let node = self.prefixed()?;
        self.depth -= 1;
        Ok(node)
    }

    fn prefixed(&mut self) -> Parsed {
        if self.keyword("NOT") {
            let node = self.condition(Self::unary)?;
            if self.compares() {
                return Err(SqlError::new(self.at(), "what NOT applies to is unclear without parentheses"));
            }
            return Ok(Node::Not(Box::new(node)));
        }
        if self.symbol("+") {
            return self.bound();
        }
        if !self.symbol("-") {
            return self.primary();
        }
        let at = self.at();
        match self.unary()? {
            Node::Whole(number) => Ok(Node::Whole(-number)),
            Node::Decimal(number) => Ok(Node::Decimal(-number)),
            _ => Err(SqlError::new(at, "a minus stands only before a number")),
        }
    }

    /// Whether an operator comes next that binds looser than NOT.
    fn compares(&self) -> bool {
        let ahead = usize::from(self.is_keyword(0, "NOT"));
        matches!(self.peek(), Some(Word::Symbol("=" | "<>" | "<" | "<=" | ">" | ">=")))
            || ["IS", "IN", "BETWEEN", "CONTAINS", "STARTSWITH", "ENDSWITH"]
                .iter()
                .any(|keyword| self.is_keyword(ahead, keyword))
    }

    fn primary(&mut self) -> Parsed {
        let node = match self.peek() {
            Some(Word::Text(text)) => Node::Text(text.clone()),
            Some(Word::Whole(number)) => Node::Whole(*number),
            Some(Word::Decimal(number)) => Node::Decimal(*number),
            Some(Word::Name(name)) => self.named(name)?,
            Some(Word::Symbol("(")) => {
                self.next += 1;
                let inner = self.or()?;
                self.need_symbol(")")?;
                return Ok(inner);
            }
            _ => return Err(self.expected("a property, a value or (")),
        };
        self.next += 1;
        Ok(node)
    }

    fn named(&self, name: &str) -> Parsed {
        match keyword(name) {
            Some("TRUE") => Ok(Node::Truth(true)),
            Some("FALSE") => Ok(Node::Truth(false)),
            Some("NULL") => Ok(Node::Null),
            Some(_) => Err(self.expected("a property, a value or (")),
            None => {
                let place = self.names.binary_search(&name).unwrap_or(usize::MAX);
                Ok(Node::Property(u16::try_from(place).unwrap_or(u16::MAX)))
            }
        }
    }
}

fn negate(node: Node, negated: bool) -> Node {
    if negated { Node::Not(Box::new(node)) } else { node }
}

fn as_condition(node: Node, at: usize) -> Parsed {
    match node {
        Node::Text(_) | Node::Whole(_) | Node::Decimal(_) => {
            Err(SqlError::new(at, "a value where a condition belongs"))
        }
        _ => Ok(node),
    }
}

/// Only properties and numbers can be more or less than something.
fn comparable(node: Node, at: usize) -> Parsed {
    match node {
        Node::Property(_) | Node::Whole(_) | Node::Decimal(_) => Ok(node),
        _ => Err(SqlError::new(at, "only a property or a number can be compared by size")),
    }
}

#[expect(clippy::cast_precision_loss, reason = "bounds are only compared with each other")]
fn constant(node: &Node) -> Option<f64> {
    match node {
        Node::Whole(number) => Some(*number as f64),
        Node::Decimal(number) => Some(*number),
        _ => None,
    }
}
