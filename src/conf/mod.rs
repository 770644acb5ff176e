//! nginx.conf: lexer, tree, directive tables, errors.
