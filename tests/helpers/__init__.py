"""What several tests share: small data sets, commands, a running page, hostile files. Only `keras_start` starts Keras."""
