//! Retries work with a card after failures that are likely to be transient.

/// How many retries follow a first attempt that another program or a failed exchange interrupted.
pub const AGAIN: u32 = 2;

/// Makes one attempt, and at most [`AGAIN`] more while `passes` says that the failure is transient.
///
/// # Errors
/// The error of the last attempt.
pub fn attempts<T, E>(passes: impl Fn(&E) -> bool, mut attempt: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    let mut result = attempt();
    for _ in 0..AGAIN {
        if !result.as_ref().is_err_and(&passes) {
            break;
        }
        result = attempt();
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_tried_again_and_nothing_else() {
        for (answers, comes_to, made) in [
            (vec![Ok(1)], Ok(1), 1),
            (vec![Err(true), Ok(2)], Ok(2), 2),
            (vec![Err(true), Err(false)], Err(false), 2),
            (vec![Err(true), Err(true), Err(true)], Err(true), 3),
            (vec![Err(false)], Err(false), 1),
        ] {
            let (mut answers, mut count) = (answers.into_iter(), 0);
            let result = attempts(
                |passes: &bool| *passes,
                || {
                    count += 1;
                    answers.next().unwrap()
                },
            );
            assert_eq!((result, count), (comes_to, made));
        }
    }
}
