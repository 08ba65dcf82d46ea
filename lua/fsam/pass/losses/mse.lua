--- The squared error of one number for each sample.
local lib = require("fsam.C").lib

require("fsam.pass.losses").define("mse", {
  labels = "f32",
  compute = function(losses, dlogits, logits, targets, batch)
    return lib.fsam_mse(losses, dlogits, logits, targets, batch)
  end,
})
