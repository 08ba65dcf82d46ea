--- Cross entropy of one class for each sample; in training with weights of the classes and smoothed
-- targets where these are wanted.
local lib = require("fsam.C").lib

require("fsam.pass.losses").define("cross_entropy", {
  labels = "i32", weights = true, smoothing = true,
  compute = function(losses, dlogits, logits, labels, batch, settings)
    if settings then
      return lib.fsam_weighted_cross_entropy(losses, dlogits, logits, labels, settings.weights,
        settings.smoothing, batch)
    end
    return lib.fsam_cross_entropy(losses, dlogits, logits, labels, batch)
  end,
})
