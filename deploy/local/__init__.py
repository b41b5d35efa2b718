"""The local stack: `make up`, `make down` and what `make demo` and `make test` stand on."""
