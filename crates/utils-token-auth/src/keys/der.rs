//! Just enough DER to hand the private members of a JWK to a provider that reads PKCS#8 and PKCS#1.
use zeroize::Zeroizing;

type Der = Zeroizing<Vec<u8>>;

/// The object identifier of P-256, RFC 5480 section 2.1.1.1.
pub(super) const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// The object identifier of P-384.
pub(super) const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];

const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const CONTEXT_1: u8 = 0xa1;

/// PKCS#8 of an Ed25519 seed, RFC 8410 section 7.
pub(super) fn ed25519(seed: &[u8]) -> Der {
    pkcs8(&value(SEQUENCE, &[&value(OBJECT_IDENTIFIER, &[ED25519])]), &value(OCTET_STRING, &[seed]))
}

/// PKCS#8 of an elliptic curve key, RFC 5915 section 3 in RFC 5958.
pub(super) fn ec(curve: &[u8], scalar: &[u8], point: &[u8]) -> Der {
    let algorithm =
        value(SEQUENCE, &[&value(OBJECT_IDENTIFIER, &[EC_PUBLIC_KEY]), &value(OBJECT_IDENTIFIER, &[curve])]);
    let public = value(CONTEXT_1, &[&value(BIT_STRING, &[&[0], point])]);
    let key = value(SEQUENCE, &[&value(INTEGER, &[&[1]]), &value(OCTET_STRING, &[scalar]), &public]);
    pkcs8(&algorithm, &key)
}

/// PKCS#1 of an RSA key from its eight numbers, n to qi, RFC 8017 appendix A.1.2.
pub(super) fn rsa(numbers: &[Zeroizing<Vec<u8>>]) -> Der {
    let mut parts = vec![value(INTEGER, &[&[0]])];
    parts.extend(numbers.iter().map(|number| unsigned(number)));
    value(SEQUENCE, &parts.iter().map(|part| &part[..]).collect::<Vec<_>>())
}

fn pkcs8(algorithm: &[u8], key: &[u8]) -> Der {
    value(SEQUENCE, &[&value(INTEGER, &[&[0]]), algorithm, &value(OCTET_STRING, &[key])])
}

/// An integer that is not negative, in the fewest bytes.
fn unsigned(number: &[u8]) -> Der {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let number = number.get(zeros..).unwrap_or_default();
    let needs_zero = number.first().is_none_or(|first| *first >= 0x80);
    value(INTEGER, &[if needs_zero { &[0] } else { &[] }, number])
}

fn value(tag: u8, parts: &[&[u8]]) -> Der {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut der = Zeroizing::new(Vec::with_capacity(length + 6));
    der.push(tag);
    if length < 0x80 {
        der.push(length as u8);
    } else {
        let bytes = length.to_be_bytes();
        let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
        der.push(0x80 | bytes.len() as u8);
        der.extend_from_slice(bytes);
    }
    for part in parts {
        der.extend_from_slice(part);
    }
    der
}
