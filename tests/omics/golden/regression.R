# Golden values of tests/omics/test_outcome_regression.py, with Debian's r-cran-survival and r-cran-cmprsk:
#   cd tests/omics/golden && Rscript regression.R ../../../../shared/data/aml_outcomes/clinical.tsv
# writes regression.tsv. `synthetic` is outcome_patients.csv beside this file; `aml` is real, only numbers are written.
library(survival)
library(cmprsk)

rows <- list()
put <- function(table, model, quantity, term, value) {
  rows[[length(rows) + 1]] <<- data.frame(table, model, quantity, term, value = sprintf("%.15g", value))
}
exact <- coxph.control(eps = 1e-14, toler.chol = 1e-15, iter.max = 60)
put_cox <- function(table, model, fit) {
  put(table, model, "coefficient", names(coef(fit)), coef(fit))
  put(table, model, "se", names(coef(fit)), sqrt(diag(vcov(fit))))
  put(table, model, "log_likelihood", c("null", "fitted"), fit$loglik)
  z <- cox.zph(fit, transform = "km", terms = TRUE)$table
  put(table, model, "zph", rownames(z), z[, "chisq"])
  put(table, model, "zph_df", rownames(z), z[, "df"])
}

golden <- function(table, d) {
  put_cox(table, "any", coxph(Surv(time, event > 0) ~ x + group, d, control = exact))
  put_cox(table, "cause", coxph(Surv(time, event == 1) ~ x + group, d, control = exact))
  put_cox(table, "strata", coxph(Surv(time, event > 0) ~ x + strata(group), d, control = exact))
  late <- d[d$time > d$entry, ]
  put_cox(table, "entry", coxph(Surv(entry, time, event > 0) ~ x + group, late, control = exact))
  design <- model.matrix(~ x + group, d)[, -1, drop = FALSE]
  fg <- crr(d$time, d$event, design, gtol = 1e-14, maxiter = 100)
  put(table, "fine_gray", "coefficient", names(fg$coef), fg$coef)
  put(table, "fine_gray", "se", names(fg$coef), sqrt(diag(fg$var)))
  l <- survdiff(Surv(time, event > 0) ~ half + strata(group), d)
  put(table, "logrank_strata", "statistic", "half", l$chisq)
}

p <- read.csv("outcome_patients.csv")
p$x <- sin(seq_len(nrow(p)))
p$half <- seq_len(nrow(p)) %% 2
p$entry <- ifelse(seq_len(nrow(p)) %% 3 == 0, 0.3, 0)
golden("synthetic", p)

a <- read.delim(commandArgs(TRUE)[1], na.strings = c("", "NA"))
relapsed <- !is.na(a$Recurrence_date)
aml <- data.frame(
  time = ifelse(relapsed, a$Recurrence_date, a$Date_LF),
  event = ifelse(relapsed, 1, ifelse(a$Status == 1, 2, 0)),
  x = log10(a$wbc + 1), group = a$Study, entry = ifelse(is.na(a$CR_date), 0, a$CR_date), half = a$gender
)
golden("aml", aml[complete.cases(aml), ])

# transplant as it happens: overall survival, intervals before and after
t <- data.frame(os = a$OS, dead = a$Status, tx = a$TPL_date, age = a$AOD)
t <- t[complete.cases(t[, c("os", "dead", "age")]) & (is.na(t$tx) | t$tx <= t$os), ]
split <- do.call(rbind, lapply(seq_len(nrow(t)), function(i) {
  r <- t[i, ]
  if (is.na(r$tx) || r$tx >= r$os) return(data.frame(start = 0, stop = r$os, dead = r$dead, transplant = 0, age = r$age))
  data.frame(start = c(0, r$tx), stop = c(r$tx, r$os), dead = c(0, r$dead), transplant = 0:1, age = r$age)
}))
split <- split[split$stop > split$start, ]
put_cox("aml", "transplant", coxph(Surv(start, stop, dead) ~ transplant + age, split, control = exact))
write.table(do.call(rbind, rows), "regression.tsv", sep = "\t", quote = FALSE, row.names = FALSE)
