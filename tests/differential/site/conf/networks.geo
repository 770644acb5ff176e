10.1.0.0/16 included;
