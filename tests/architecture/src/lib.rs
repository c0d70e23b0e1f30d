//! Nothing here: the tests are the package.
