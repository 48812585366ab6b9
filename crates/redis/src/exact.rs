//! Numbers that stay exact in Lua.

use crate::error::{Error, ErrorKind};

/// The largest integer up to which all are exact in a script: Redis's Lua knows only doubles.
pub const LUA_EXACT: u64 = 1 << 53;

/// Returns `number` if a script reads it exactly.
///
/// Within the script, note that products pass the bound long before their factors do, that `tostring` writes a large
/// number as `1.7952493094755e+15` (use `string.format('%.0f', n)`), and that a reply cuts off what is behind the point.
///
/// # Errors
///
/// [`ErrorKind::WrongData`] if `number` is beyond 2⁵³ on either side.
///
/// ```
/// use buttress_redis::{LUA_EXACT, lua_exact};
///
/// assert_eq!(lua_exact(1_795_249_309_475_500_u64)?, 1_795_249_309_475_500);
/// assert!(lua_exact(LUA_EXACT + 1).is_err());
/// assert!(lua_exact(i64::MIN).is_err());
/// # Ok::<(), buttress_redis::Error>(())
/// ```
pub fn lua_exact(number: impl TryInto<i64>) -> Result<i64, Error> {
    let exact = number.try_into().ok().filter(|number| number.unsigned_abs() <= LUA_EXACT);
    exact.ok_or(const { Error::new(ErrorKind::WrongData) })
}

/// Returns `a · b` if a script computes it exactly.
///
/// # Errors
///
/// [`ErrorKind::WrongData`] if a factor or the product is beyond 2⁵³.
pub fn lua_exact_product(a: impl TryInto<i64>, b: impl TryInto<i64>) -> Result<i64, Error> {
    let product = lua_exact(a)?.checked_mul(lua_exact(b)?);
    lua_exact(product.ok_or(const { Error::new(ErrorKind::WrongData) })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_what_a_double_holds_passes() {
        let bound = i64::try_from(LUA_EXACT).expect("2^53 fits");
        assert_eq!(lua_exact(bound), Ok(bound));
        assert_eq!(lua_exact(-bound), Ok(-bound));
        assert!(lua_exact(bound + 1).is_err() && lua_exact(-bound - 1).is_err());
        assert!(lua_exact(u64::MAX).is_err() && lua_exact(i64::MIN).is_err() && lua_exact(u128::MAX).is_err());
    }

    #[test]
    fn a_product_is_checked_beyond_what_i64_holds() {
        assert_eq!(lua_exact_product(1_u64 << 26, 1_u64 << 27), Ok(1 << 53));
        assert!(lua_exact_product(1_u64 << 27, 1_u64 << 27).is_err());
        assert!(lua_exact_product(LUA_EXACT, LUA_EXACT).is_err());
    }
}
