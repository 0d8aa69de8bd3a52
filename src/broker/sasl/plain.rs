//! PLAIN's one message (RFC 4616): `[authzid] NUL authcid NUL passwd`, UTF-8.
//!
//! Owns: its grammar. Never does: look up users. Runs on: the connection's core.

use super::SaslError;

/// What the message says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) user: &'a str,
    pub(super) password: &'a str,
}

/// Reads the message. An authorization id may be empty or the user's own name; nobody acts for others.
pub(super) fn parse(token: &[u8]) -> Result<Message<'_>, SaslError> {
    let text = std::str::from_utf8(token).map_err(|_| SaslError::Malformed("not UTF-8"))?;
    let mut parts = text.split('\0');
    let (Some(authorization), Some(user), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(SaslError::Malformed("not three parts"));
    };
    if user.is_empty() {
        return Err(SaslError::Malformed("no user name"));
    }
    if password.is_empty() {
        return Err(SaslError::Malformed("no password"));
    }
    if !authorization.is_empty() && authorization != user {
        return Err(SaslError::OtherIdentity);
    }
    Ok(Message { user, password })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_the_rfc_are_read() {
        let tim = Message {
            user: "tim",
            password: "tanstaaftanstaaf",
        };
        assert_eq!(parse(b"\0tim\0tanstaaftanstaaf"), Ok(tim));
        let kurt = parse(b"Kurt\0Kurt\0xipj3plmq").expect("its own name is allowed");
        assert_eq!(kurt.user, "Kurt");
        let utf8 = parse("\0jürgen\0schlüssel=,".as_bytes()).expect("nothing is escaped");
        assert_eq!((utf8.user, utf8.password), ("jürgen", "schlüssel=,"));
    }

    #[test]
    fn acting_for_others_is_refused() {
        assert_eq!(
            parse(b"Ursel\0Kurt\0xipj3plmq"),
            Err(SaslError::OtherIdentity)
        );
    }

    #[test]
    fn broken_messages_are_refused() {
        for token in [
            &b""[..],
            b"\0",
            b"\0user",
            b"\0user\0",
            b"\0\0password",
            b"user\0password",
            b"\0user\0password\0",
            b"\0user\0pass\0word",
            b"\0us\xffer\0password",
        ] {
            assert!(
                matches!(parse(token), Err(SaslError::Malformed(_))),
                "{token:?}"
            );
        }
    }
}
