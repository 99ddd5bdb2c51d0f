# Golden values of tests/omics/test_outcome_adjusted.py, with Debian's r-cran-survival and r-cran-cmprsk:
#   cd tests/omics/golden && Rscript adjusted.R
# writes adjusted_patients.csv, who are drawn at random, and adjusted.tsv.
library(survival)
library(cmprsk)

set.seed(11)
n <- 260
p <- data.frame(sample = sprintf("P%03d", 1:n), group = sample(c("A", "B", "C", "D"), n, TRUE, c(.2, .4, .25, .15)),
                subtype = sample(c("ETV6", "KMT2A", "hyperdiploid"), n, TRUE, c(.3, .2, .5)),
                mrd = signif(10^rnorm(n, -3.8, 1), 3), nci_risk = sample(c("High", "Standard"), n, TRUE, c(.4, .6)),
                age = round(runif(n, 1, 17), 1), wbc = round(rlnorm(n, 3, 1), 1), site = sample(c("S1", "S2", "S3"), n, TRUE))
p$mrd[p$mrd < 1e-5] <- 0
risk <- 0.5 * (p$group == "C") + 0.7 * (p$subtype == "KMT2A") + 0.3 * (log10(pmax(p$mrd, 1e-5)) + 4) + 0.3 * (p$site == "S2")
time <- ceiling(10 * rexp(n, 0.09 * exp(risk))) / 10  # ties
left <- ceiling(10 * runif(n, 2, 9)) / 10
cause <- sample(1:3, n, TRUE, c(.75, .2, .05))
p$event <- ifelse(time <= left, cause, 0)
p$event_time <- pmin(time, left)
p$death <- as.integer(p$event == 2 | (p$event == 1 & runif(n) < .6))
p$death_time <- ifelse(p$event == 1, p$event_time + ceiling(10 * rexp(n, 1)) / 10, p$event_time)
p$refractory <- as.integer(runif(n) < .06)
p$event[p$refractory == 1] <- NA
p$event_time[p$refractory == 1] <- NA
p$mrd[c(3, 50, 77)] <- NA
p$age[c(9, 50)] <- NA
write.csv(p, "adjusted_patients.csv", row.names = FALSE, na = "", quote = FALSE)

rows <- list()
put <- function(case, endpoint, model, adjusted, quantity, term, value) {
  rows[[length(rows) + 1]] <<- data.frame(case, endpoint, model, adjusted, quantity, term, value = sprintf("%.15g", value))
}
exact <- coxph.control(eps = 1e-14, toler.chol = 1e-15, iter.max = 60)
largest_first <- function(x) relevel(factor(x), names(which.max(table(x))))

golden <- function(case, endpoint, d, competing, silent = character(0)) {
  d$subtype <- largest_first(d$subtype)
  d$nci_risk <- largest_first(d$nci_risk)
  d$lmrd <- log10(pmax(d$mrd, 1e-5))
  d$lwbc <- log10(pmax(d$wbc, 0.1))
  d$group <- relevel(factor(d$group), "B")
  whole <- d[complete.cases(d[, c("subtype", "mrd", "nci_risk", "age", "wbc", "site")]), ]
  whole$site <- largest_first(whole$site)
  for (adjusted in 0:1) {
    e <- if (adjusted) whole else d
    label <- function(...) put(case, endpoint, if (competing) "cause_specific_cox" else "cox", adjusted, ...)
    from <- if (adjusted) Surv(time, code == 1) ~ subtype + lmrd + nci_risk + age + lwbc + strata(site) else
      Surv(time, code == 1) ~ 1
    without <- coxph(from, e, control = exact)
    fit <- suppressWarnings(coxph(update(from, . ~ . + group), e, control = coxph.control(eps = 1e-13, iter.max = 60)))
    statistic <- 2 * (fit$loglik[length(fit$loglik)] - without$loglik[length(without$loglik)])
    label("statistic", "", statistic)
    label("p_value", "", pchisq(statistic, 3, lower.tail = FALSE))
    label("n", "", fit$n)
    label("events", "", fit$nevent)
    ci <- summary(fit)$conf.int
    known <- !is.na(coef(fit)) & abs(coef(fit)) < 10
    label("hazard_ratio", names(coef(fit))[known], exp(coef(fit))[known])
    if (!length(silent)) {
      label("lower", rownames(ci), ci[, "lower .95"])
      label("upper", rownames(ci), ci[, "upper .95"])
      label("p", rownames(ci), summary(fit)$coefficients[, "Pr(>|z|)"])
      label("proportional_p", "", cox.zph(fit, transform = "km", terms = TRUE)$table["group", "p"])
    }
    if (!competing) next
    from <- if (adjusted) ~ subtype + lmrd + nci_risk + age + lwbc + site else ~ 1
    x <- model.matrix(update(from, ~ . + group), e)[, -1]
    own <- grepl("^group", colnames(x))
    fg <- crr(e$time, e$code, x, gtol = if (length(silent)) 1e-10 else 1e-14, maxiter = 100)
    label <- function(...) put(case, endpoint, "fine_gray", adjusted, ...)
    if (length(silent)) {
      null <- if (adjusted) crr(e$time, e$code, x[, !own], gtol = 1e-14, maxiter = 100)$loglik else fg$loglik.null
      statistic <- 2 * (fg$loglik - null)
    } else {
      statistic <- c(fg$coef[own] %*% solve(fg$var[own, own]) %*% fg$coef[own])
    }
    label("statistic", "", statistic)
    label("p_value", "", pchisq(statistic, 3, lower.tail = FALSE))
    known <- abs(fg$coef) < 10
    se <- sqrt(diag(fg$var))
    label("hazard_ratio", colnames(x)[known], exp(fg$coef)[known])
    label("lower", colnames(x)[known], exp(fg$coef - qnorm(.975) * se)[known])
    label("upper", colnames(x)[known], exp(fg$coef + qnorm(.975) * se)[known])
  }
}

at_risk <- p[p$refractory == 0, ]
relapse <- transform(at_risk, time = event_time, code = event)
golden("all", "relapse", relapse, TRUE)
golden("silent", "relapse", transform(relapse, code = ifelse(group == "D" & code == 1, 0, code)), TRUE, "D")
failed <- p$refractory == 1
golden("all", "event_free", transform(p, time = ifelse(failed, 0, event_time), code = ifelse(failed, 1, event > 0)), FALSE)
golden("all", "overall", transform(p, time = death_time, code = death), FALSE)

# failure of induction
for (by in c("group", "subtype", "site")) {
  table <- table(p[[by]], p$refractory)
  put("all", "refractory", by, 0, "statistic", "", suppressWarnings(chisq.test(table, correct = FALSE))$statistic)
  put("all", "refractory", by, 0, "p_value", "", fisher.test(table)$p.value)
}
write.table(do.call(rbind, rows), "adjusted.tsv", sep = "\t", quote = FALSE, row.names = FALSE)
