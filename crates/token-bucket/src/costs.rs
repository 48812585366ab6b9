//! What a call takes from its buckets.

use std::fmt;

use buttress_core::Usage;

/// What is counted: requests, tokens, money, or anything else.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dimension(u8);

/// What a call costs, in each [`Dimension`]: an estimate before it, the truth after it.
///
/// Whole numbers only. What does not fit is held to be the largest number there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    amounts: [u64; SLOTS],
    prices: Prices,
}

/// What a token costs, in nano-dollars: $0.15 for a million tokens are 150 nano-dollars for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    input: u32,
    cached_input: u32,
    output: u32,
}

/// What a request costs, as far as can be known before it is answered.
///
/// Any `Fn(&Req) -> Costs` does; [`OneRequest`] is the default. An estimate for a language model is the count of its input
/// tokens, and the lesser of the output it asks for at most and of what its like have been seen to need.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not tell what a `{Req}` costs",
    label = "not an estimate of this request",
    note = "a closure `|request: &Request| -> Costs` does, with the type of its argument written out"
)]
pub trait Estimate<Req> {
    /// Returns what `request` will cost at most.
    fn estimate(&self, request: &Req) -> Costs;
}

/// Counts requests and nothing else. See [`Estimate`].
#[derive(Clone, Copy, Debug, Default)]
pub struct OneRequest;

const SLOTS: usize = 8;

// === impl Dimension ===

impl Dimension {
    /// Requests.
    pub const REQUESTS: Self = Self(0);
    /// Tokens of input.
    pub const INPUT_TOKENS: Self = Self(1);
    /// Tokens of output.
    pub const OUTPUT_TOKENS: Self = Self(2);
    /// Money, in nano-dollars.
    pub const NANO_DOLLARS: Self = Self(3);
    /// Tokens of input and of output together. What a call takes of it follows from the two.
    pub const TOKENS: Self = Self(SLOTS as u8);

    /// Returns one of four dimensions that mean what an application says, or `None` if `number` is not less than four.
    #[must_use]
    pub const fn custom(number: u8) -> Option<Self> {
        if number < 4 { Some(Self(4 + number)) } else { None }
    }

    /// Returns the unit as it stands in a `RateLimit-Policy` field. Requests are the default there.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self.0 {
            0 => "requests",
            1 => "input-tokens",
            2 => "output-tokens",
            3 => "nano-dollars",
            4 => "custom-0",
            5 => "custom-1",
            6 => "custom-2",
            7 => "custom-3",
            _ => "llm-tokens",
        }
    }
}

impl fmt::Debug for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.unit())
    }
}

// === impl Costs ===

impl Costs {
    /// Nothing.
    pub const ZERO: Self = Self { amounts: [0; SLOTS], prices: Prices { input: 0, cached_input: 0, output: 0 } };

    /// One request, and nothing else.
    #[must_use]
    #[inline]
    pub const fn request() -> Self {
        Self::ZERO.with(Dimension::REQUESTS, 1)
    }

    /// One request with so many tokens of input, and so many of output at most.
    #[must_use]
    #[inline]
    pub const fn tokens(input: u64, output: u64) -> Self {
        Self::request().with(Dimension::INPUT_TOKENS, input).with(Dimension::OUTPUT_TOKENS, output)
    }

    /// Sets the amount in one dimension. Setting [`Dimension::TOKENS`] sets the tokens of input, and those of output to none.
    #[must_use]
    #[inline]
    pub const fn with(mut self, dimension: Dimension, amount: u64) -> Self {
        match dimension.0 as usize {
            slot if slot < SLOTS => self.amounts[slot] = amount,
            _ => {
                self.amounts[1] = amount;
                self.amounts[2] = 0;
            }
        }
        self
    }

    /// Sets what tokens cost, and with it the amount of [`Dimension::NANO_DOLLARS`], now and after the call.
    #[must_use]
    pub const fn priced(mut self, prices: Prices) -> Self {
        self.prices = prices;
        self.amounts[3] = prices.of(self.amounts[1], 0, self.amounts[2]);
        self
    }

    /// Returns the amount in one dimension.
    #[must_use]
    #[inline]
    pub const fn amount(&self, dimension: Dimension) -> u64 {
        match dimension.0 as usize {
            slot if slot < SLOTS => self.amounts[slot],
            _ => self.amounts[1].saturating_add(self.amounts[2]),
        }
    }

    /// Returns what a call has really cost that told its `usage`.
    ///
    /// Input that came from a cache does not count as tokens, as providers do not count it against their own limits; it has a
    /// [price](Prices::cached_input) of its own. Everything else stays as it was reserved.
    #[must_use]
    pub const fn with_usage(self, usage: &Usage) -> Self {
        let fresh = usage.input.saturating_sub(usage.cached_input);
        let mut costs = self.with(Dimension::INPUT_TOKENS, fresh).with(Dimension::OUTPUT_TOKENS, usage.output);
        if !costs.prices.are_none() {
            costs.amounts[3] = costs.prices.of(fresh, usage.cached_input, usage.output);
        }
        costs
    }

    /// Returns what is left of these costs if there was no answer: the request itself.
    pub(crate) const fn request_only(self) -> Self {
        Self::ZERO.with(Dimension::REQUESTS, self.amounts[0])
    }

    /// Returns whether nothing but requests is counted.
    // Word by word: to compare all at once would wait for what was written in pieces a moment ago.
    #[inline]
    pub(crate) fn is_request_only(&self) -> bool {
        self.amounts[1..].iter().fold(0, |any, amount| any | amount) == 0
    }

    /// Returns the lesser of both in each dimension.
    pub(crate) fn at_most(mut self, other: &Self) -> Self {
        self.amounts.iter_mut().zip(other.amounts).for_each(|(amount, most)| *amount = most.min(*amount));
        self
    }

    /// Returns these costs so many times.
    #[cfg(feature = "redis")]
    pub(crate) fn times(mut self, number: u32) -> Self {
        self.amounts.iter_mut().for_each(|amount| *amount = amount.saturating_mul(u64::from(number)));
        self
    }

    /// Returns the greater of both in each dimension.
    pub(crate) fn at_least(mut self, other: &Self) -> Self {
        self.amounts.iter_mut().zip(other.amounts).for_each(|(amount, least)| *amount = least.max(*amount));
        self
    }

    /// Returns these costs with no less output than `other` has, and no lower price if there is more.
    pub(crate) fn with_output_at_least(mut self, other: &Self) -> Self {
        if other.amounts[2] > self.amounts[2] {
            let more = other.amounts[2] - self.amounts[2];
            self.amounts[2] = other.amounts[2];
            self.amounts[3] = self.amounts[3].saturating_add(more.saturating_mul(u64::from(self.prices.output)));
        }
        self
    }

    /// Returns these costs with no more output than `most` tokens.
    pub(crate) const fn with_output_up_to(self, most: u64) -> Self {
        let output = if self.amounts[2] < most { self.amounts[2] } else { most };
        let costs = self.with(Dimension::OUTPUT_TOKENS, output);
        if costs.prices.are_none() { costs } else { costs.priced(costs.prices) }
    }
}

// === impl Prices ===

impl Prices {
    /// Creates the prices of a token of input and of output. A token of input from a cache costs as much as any other.
    #[must_use]
    pub const fn new(input: u32, output: u32) -> Self {
        Self { input, cached_input: input, output }
    }

    /// Sets the price of a token of input that came from a cache.
    #[must_use]
    pub const fn cached_input(mut self, price: u32) -> Self {
        self.cached_input = price;
        self
    }

    const fn are_none(self) -> bool {
        self.input == 0 && self.cached_input == 0 && self.output == 0
    }

    const fn of(self, fresh: u64, cached: u64, output: u64) -> u64 {
        let fresh = fresh.saturating_mul(self.input as u64);
        let cached = cached.saturating_mul(self.cached_input as u64);
        fresh.saturating_add(cached).saturating_add(output.saturating_mul(self.output as u64))
    }
}

// === impl Estimate ===

impl<F, Req> Estimate<Req> for F
where
    F: Fn(&Req) -> Costs,
{
    #[inline]
    fn estimate(&self, request: &Req) -> Costs {
        self(request)
    }
}

impl<Req> Estimate<Req> for OneRequest {
    #[inline]
    fn estimate(&self, _: &Req) -> Costs {
        Costs::request()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_input_and_output_and_never_overflow() {
        assert_eq!(Costs::tokens(3, 4).amount(Dimension::TOKENS), 7);
        assert_eq!(Costs::tokens(u64::MAX, 4).amount(Dimension::TOKENS), u64::MAX);
        assert_eq!(Costs::ZERO.with(Dimension::TOKENS, 9).amount(Dimension::TOKENS), 9);
    }

    #[test]
    fn the_real_usage_has_its_real_price() {
        let prices = Prices::new(150, 600).cached_input(75);
        let reserved = Costs::tokens(1_000, 500).priced(prices);
        assert_eq!(reserved.amount(Dimension::NANO_DOLLARS), 450_000);
        let mut usage = Usage::new(1_000, 100);
        usage.cached_input = 400;
        let actual = reserved.with_usage(&usage);
        assert_eq!(actual.amount(Dimension::TOKENS), 700);
        assert_eq!(actual.amount(Dimension::NANO_DOLLARS), 600 * 150 + 400 * 75 + 100 * 600);
        assert_eq!(actual.amount(Dimension::REQUESTS), 1);
    }

    #[test]
    fn prices_that_do_not_fit_are_the_highest_there_is() {
        let costs = Costs::tokens(u64::MAX, u64::MAX).priced(Prices::new(u32::MAX, u32::MAX));
        assert_eq!(costs.amount(Dimension::NANO_DOLLARS), u64::MAX);
    }

    #[test]
    fn what_was_not_answered_costs_a_request_and_no_tokens() {
        let costs = Costs::tokens(9, 9).priced(Prices::new(1, 1)).request_only();
        assert_eq!(costs.amount(Dimension::REQUESTS), 1);
        assert_eq!([Dimension::TOKENS, Dimension::NANO_DOLLARS].map(|each| costs.amount(each)), [0, 0]);
    }
}
